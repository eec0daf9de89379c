"""Reports, as they lie in the folders of runs and experiments, and nothing else of the disk.

A report may come from elsewhere with its folder, so it is not trusted: the browser opens it in a
sandbox, as a page without an origin, that can ask nothing of the explorer or of anybody.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from flask import Flask, Response, abort

_REPORT = "report.html"
_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def serve_reports(server: Flask, folder: Path) -> None:
    """Answer /report/NAME with folder/NAME/report.html."""

    @server.get("/report/<name>")
    def report(name: str) -> Response:
        path = report_file(folder, name)
        if path is None:
            abort(404, "there is no such report")
        answer = Response(path.read_bytes(), mimetype="text/html")
        answer.headers["Content-Security-Policy"] = _POLICY
        answer.headers["Cache-Control"] = "no-store"
        # Browsers refuse a sandboxed page that also asks to be opened apart from its opener.
        answer.headers["Cross-Origin-Opener-Policy"] = "unsafe-none"
        return answer


def report_file(folder: Path, name: str) -> Path | None:
    """The report of what lies right inside the folder; None for anything else, and for whatever a
    link leads elsewhere."""
    try:
        if name not in {path.name for path in folder.iterdir()}:
            return None
        path = folder.resolve() / name / _REPORT
        return path if path.resolve(strict=True) == path and path.is_file() else None
    except (OSError, ValueError):
        return None


def report_address(folder: Path) -> str | None:
    """Where the report of a run or an experiment is read; None where it has none."""
    if report_file(folder.parent, folder.name) is None:
        return None
    return f"/report/{quote(folder.name, safe='', errors='replace')}"
