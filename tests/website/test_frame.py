"""The frame: relative links from every depth, and a policy that lets in what is ours alone."""

from __future__ import annotations

import posixpath
import re

import pytest

from fathom.report.markup import el
from fathom.report.page import Sheet
from fathom.website.frame import framed, shared_files
from tests.test_report import Page
from tests.website.reading import targets

SECTIONS = ["index.html", "claims.html", "experiments/index.html", "runs/index.html"]


@pytest.mark.parametrize("path", [*SECTIONS, "networks/vgg16.html", "runs/a.html"])
def test_links_lead_to_sections_and_shared_files(path: str) -> None:
    page = Page(framed(path, Sheet("<T>", el("p", "text"))))
    folder = posixpath.dirname(path)
    local = [t for t in targets(page) if not t.startswith(("#", "data:"))]
    found = {posixpath.normpath(posixpath.join(folder, target)) for target in local}
    assert found == {*SECTIONS, *shared_files()}


@pytest.mark.parametrize(
    ("path", "section", "how"),
    [
        ("index.html", "Architectures", "page"),
        ("networks/vgg16.html", "Architectures", "true"),
        ("claims.html", "Claims", "page"),
        ("experiments/degradation.html", "Experiments", "true"),
        ("runs/index.html", "Runs", "page"),
    ],
)
def test_the_section_of_a_page_is_marked(path: str, section: str, how: str) -> None:
    source = framed(path, Sheet("T", el("p", "text")))
    marked = re.findall(r'<a [^>]*aria-current="(\w+)"[^>]*>(\w+)</a>', source)
    assert marked == [(how, section)]


def test_no_script_stands_in_a_page_and_none_from_elsewhere_may_run() -> None:
    page = Page(framed("a/b.html", Sheet("T", el("p", "text"), style=".x { color: red; }")))
    scripts = [attrs for tag, attrs in page.tags if tag == "script"]
    assert [attrs["src"] for attrs in scripts] == [
        "../assets/plotly.min.js",
        "../assets/page.js",
    ]
    (policy,) = (a["content"] or "" for t, a in page.tags if a.get("http-equiv"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self' file:"
    assert ".x { color: red; }" in page.source


def test_a_page_without_charts_loads_no_script() -> None:
    page = Page(framed("claims.html", Sheet("T", el("p", "text"), scripted=False)))
    assert "script" not in {tag for tag, _ in page.tags}
