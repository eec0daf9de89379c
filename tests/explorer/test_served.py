"""Reports are served from right inside the folder of runs, sealed off, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.explorer.app import make_app
from fathom.explorer.page import Page
from fathom.explorer.served import report_address, report_file, serve_reports
from fathom.explorer.server import protect

NAMES = ["run", "with blank & <b>", "ärger", "100%", "a?b#c"]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Runs with reports; around them what nobody may read."""
    folder = tmp_path / "runs"
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        (folder / name / "report.html").write_text(f"report of {name}", encoding="utf-8")
    (folder / "bare").mkdir()
    (folder / "report.html").write_text("secret")
    (tmp_path / "report.html").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "report.html").write_text("secret")
    (folder / "linked").symlink_to(tmp_path / "outside")
    (folder / "inner").mkdir()
    (folder / "inner" / "report.html").symlink_to(tmp_path / "outside" / "report.html")
    (folder / "other").mkdir()
    (folder / "other" / "report.html").symlink_to(folder / "run" / "report.html")
    (folder / "folder").mkdir()
    (folder / "folder" / "report.html").mkdir()
    return folder


def client(runs: Path, *, token: str | None = None) -> FlaskClient:
    app = make_app([Page("", "Home", "A page.", [])])
    serve_reports(app.server, runs)
    protect(app, host="127.0.0.1", token=token)
    made: FlaskClient = app.server.test_client()
    return made


@pytest.mark.parametrize("name", NAMES)
def test_a_report_is_found_by_its_address(runs: Path, name: str) -> None:
    address = report_address(runs / name)
    assert address is not None
    found = client(runs).get(address)
    assert found.status_code == 200
    assert found.mimetype == "text/html"
    assert found.get_data(as_text=True) == f"report of {name}"


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "%2e%2e",
        "%2e",
        "..%2foutside",
        "..%2Foutside",
        "%2e%2e%2foutside",
        "run%2f..%2f..%2foutside",
        "..%5coutside",
        "run%00",
        "%2fetc",
        "bare",
        "linked",
        "inner",
        "other",
        "folder",
        "report.html",
        "nowhere",
        "%ff",
        "x" * 5000,
    ],
)
def test_nothing_else_is_served(runs: Path, name: str) -> None:
    found = client(runs).get(f"/report/{name}")
    assert b"secret" not in found.data
    assert b"report of" not in found.data
    assert found.status_code == 404 or b"<title>Fathom</title>" in found.data, "or the explorer"


@settings(deadline=None, derandomize=True, database=None)
@given(st.text(max_size=30))
def test_only_names_in_the_folder_are_files(name: str) -> None:
    here = Path(__file__).parent
    assert report_file(here, name) is None
    assert report_file(here / "nowhere", name) is None


def test_without_a_report_there_is_no_link(runs: Path) -> None:
    for name in ("bare", "linked", "inner", "other", "folder", "nowhere"):
        assert report_address(runs / name) is None


def test_a_report_is_opened_in_a_sandbox_that_asks_nobody(runs: Path) -> None:
    headers = client(runs).get("/report/run").headers
    policy = headers["Content-Security-Policy"]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["sandbox"] == "allow-scripts allow-downloads", "no origin, no forms, no popups"
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    assert "connect-src" not in rules
    assert "http" not in policy
    assert headers["Cross-Origin-Opener-Policy"] == "unsafe-none", "else browsers refuse a sandbox"
    assert headers["X-Content-Type-Options"] == "nosniff"
    other = client(runs).get("/").headers
    assert "sandbox" not in other["Content-Security-Policy"]
    assert other["Cross-Origin-Opener-Policy"] == "same-origin"


def test_reports_are_guarded_as_all_is(runs: Path) -> None:
    assert client(runs).get("/report/run", headers={"Host": "evil.example"}).status_code == 403
    assert client(runs, token="t" * 32).get("/report/run").status_code == 403
    assert client(runs).post("/report/run").status_code == 405
