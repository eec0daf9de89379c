"""Put the sections together into one file that works offline, for good, and on any screen.

The page's own policy forbids it every request and every script but the two that it brings along,
whose hashes the policy names: a report can be opened whoever made the run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from plotly.offline import get_plotlyjs

from fathom.report import diagnosis, results, setting
from fathom.report.markup import Html, el, facts, join
from fathom.report.material import Material, read_run
from fathom.report.verdict import Verdict, judge
from fathom.training.run import write_bytes
from fathom.version import __version__

_CONTENTS = (
    ("doctor", "Doctor"),
    ("training", "Training"),
    ("classes", "Classes"),
    ("mistakes", "Mistakes"),
    ("calibration", "Calibration"),
    ("probe", "Probe"),
    ("data", "Data"),
    ("model", "Model"),
    ("machine", "Machine"),
    ("recipe", "Do it again"),
)


def write_report(run: str | Path) -> Path:
    """Write RUN/report.html from the other files of a run folder, and return its path.

    Works for runs that have finished, diverged, were interrupted, or still go on; what is missing
    is left out. The old report stays whole until the new one is complete.

    Raises:
        UserError: the folder is missing, is no run, or one of its files is damaged.
        OSError: the disk is full.
    """
    folder = Path(run)
    text = document(run_sheet(read_run(folder)))
    path = folder / "report.html"
    write_bytes(path, text.encode("utf-8", "replace"))
    return path


@dataclass(frozen=True)
class Sheet:
    """What a page says, apart from the file that it stands in.

    body: header and main part. style is added to that of all pages; scripted is False for a page
    that needs no script.
    """

    title: str
    body: Html
    style: str = ""
    scripted: bool = True


def run_sheet(run: Material) -> Sheet:
    """The report of a run."""
    title = f"{run.recipe.model.name} on {run.data_name} · {run.name} · Fathom"
    return Sheet(title, _body(run))


def document(sheet: Sheet) -> str:
    """A file that holds the page, our style, and the scripts that draw plots and sort tables."""
    scripts = (get_plotlyjs(), read_asset("page.js")) if sheet.scripted else ()
    assert not any("</script" in code.lower() for code in scripts), "it would end its element"
    head = el("title", sheet.title), el("style", Html(read_asset("page.css") + sheet.style))
    footer = el("footer", f"Written by Fathom {__version__}. This page is complete in itself.")
    body = join([sheet.body, footer, *(el("script", Html(code)) for code in scripts)])
    return whole(head, body, scripts=_hashes(scripts), styles="'unsafe-inline'")


def whole(head: Iterable[Html], body: Html, *, scripts: str, styles: str) -> str:
    """A file of HTML that may load and run these scripts and styles, as a Content-Security-Policy
    names them, and show pictures that it holds itself or that Plotly makes; nothing else."""
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    metas = (
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
    )
    page = el("html", el("head", *metas, *head), el("body", body), lang="en")
    return f"<!doctype html>\n{page}\n"


def read_asset(name: str) -> str:
    """page.css or page.js."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hashes(scripts: Iterable[str]) -> str:
    """No script but these."""
    digests = (hashlib.sha256(code.encode()).digest() for code in scripts)
    return " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests) or "'none'"


def _body(run: Material) -> Html:
    found = run.evaluation
    sections: list[Html | None] = [diagnosis.doctor(run), results.training(run)]
    if found is not None:
        sections += [
            results.classes(run, found),
            results.mistakes(run, found),
            results.calibration(run, found),
        ]
    about = [
        setting.probe(run),
        setting.data(run),
        setting.model(run),
        setting.machine(run),
        setting.recipe(run),
    ]
    content = join([*sections, *about])
    return join(
        [
            _header(run),
            el("main", _verdict(judge(run)), results.cards(run), _contents(content), content),
        ]
    )


def _header(run: Material) -> Html:
    return el(
        "header",
        el("p", "Fathom · run ", el("bdi", run.name), class_="eyebrow"),
        el("h1", run.recipe.model.name, " on ", el("bdi", run.data_name)),
    )


def _verdict(verdict: Verdict) -> Html:
    return el(
        "section",
        el("h2", verdict.word, class_="status"),
        el("p", verdict.lead, class_="lead"),
        facts(verdict.remarks),
        class_=f"verdict {verdict.status}",
        id="verdict",
    )


def _contents(content: Html) -> Html:
    """Links to the sections that are there."""
    there = [(name, text) for name, text in _CONTENTS if f'<section id="{name}"' in content]
    links = (el("a", text, href=f"#{name}") for name, text in there)
    return el("nav", *links, aria_label="Contents")
