"""The pages that a learner reads: one a cause, true, whole, and with code that works."""

from __future__ import annotations

import ast
import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

import fathom
from fathom.cli.assignments import assignments
from fathom.cli.train import _PATHS
from fathom.data.summary import Summary
from fathom.doctor.causes import CAUSES
from fathom.doctor.diagnose import all_checks
from fathom.doctor.nouns import Finding, Remedy
from fathom.doctor.watch import SHARE
from fathom.training.choices import SGD, AdamW
from fathom.training.recipe import Recipe
from tests.doctor.pages import FOLDER, blocks, changed, page_of

PARTS = (
    "How it looks",
    "Why it happens",
    "How the doctor tells",
    "How to mend it",
    "Provoke it yourself",
    "A healthy run",
)
FAMILIES = {
    "loop": "The loop",
    "modes": "Modes",
    "data": "The data",
    "optimization": "Optimization",
    "generalisation": "Generalisation",
}
PAGES = sorted(FOLDER.glob("*.md"))
PHOTOS = Summary(2000, 10, 500, 375, channels=3, flip_safe=None)
LOOP = (FOLDER / "loop.py").read_text(encoding="utf-8")


def listed() -> str:
    """The causes by family, as the index lists them."""
    parts = []
    for family, title in FAMILIES.items():
        causes = [cause for cause in CAUSES.values() if cause.family == family]
        lines = "".join(f"- [{cause.title}]({cause.id}.md)\n" for cause in causes)
        parts.append(f"### {title}\n\n{lines}")
    return "\n".join(parts)


def test_the_index_lists_every_cause() -> None:
    assert (FOLDER / "index.md").read_text(encoding="utf-8").endswith(f"## Causes\n\n{listed()}")


def test_no_page_is_of_no_cause() -> None:
    assert {page.stem for page in PAGES} == {*CAUSES, "index", "watch"}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_page_has_its_cause_and_every_part(cause: str) -> None:
    text = page_of(cause)
    assert text.startswith(f"# {CAUSES[cause].title}\n\n`{cause}` · ")
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    assert tuple(parts[1::2]) == PARTS
    assert all(part.strip() for part in parts[2::2])
    assert 150 <= len(text.split()) <= 350


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_compiles(page: Path) -> None:
    for code in blocks(page.read_text(encoding="utf-8"), "python"):
        ast.parse(code)


@pytest.mark.parametrize("cause", CAUSES)
def test_changes_fit_the_loop(cause: str) -> None:
    for diff in blocks(page_of(cause), "diff"):
        assert compile(changed(LOOP, diff), "loop.py", "exec")


def commands() -> list[str]:
    """Every `fathom train` of the pages."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    found = re.findall(r"`(fathom train [^`]+)`|^    (fathom train .+)$", text, re.MULTILINE)
    return sorted({first or second for first, second in found})


@pytest.mark.parametrize("command", commands())
def test_commands_are_recipes(command: str) -> None:
    words = shlex.split(command)[3:]
    changes: dict[str, str] = {}
    for option, value in zip(words[::2], words[1::2], strict=True):
        if option == "--set":
            changes |= assignments(option, [value])
        else:
            changes[_PATHS[option[2:].replace("-", "_")]] = value
    assert isinstance(fathom.recipe("default", "photos", changes=changes, summary=PHOTOS), Recipe)


def flat(cause: str) -> str:
    """A page's text on one line."""
    return " ".join(page_of(cause).split())


def test_figures_of_the_pages() -> None:
    least = math.log(math.e + 9) - 1  # all of the probability on one of ten classes, as logits
    probabilities = torch.eye(10)[:1]
    assert float(torch.nn.functional.cross_entropy(probabilities, torch.tensor([0]))) == (
        pytest.approx(least, abs=1e-6)
    )
    assert f"below {least:.3f}" in flat("softmax-before-loss")
    assert f"{0.9999**1000:.1%}".replace("%", " %") in flat("ema-too-slow")
    assert f"which is {0.9**43:.3f}" in flat("schedule-ends-too-early")
    assert 1400 // 32 == 43
    assert f"{0.99**100:.1%}".replace("%", " %") in flat("norm-statistics-behind")
    assert 0.9**44 < 0.01 < 0.9**43
    half = math.ceil(math.log(0.5) / math.log(1 - 0.1 * 0.3))
    assert f"3 % at each step, and half of it after {half};" in flat("weight-decay-too-strong")
    assert AdamW().weight_decay / SGD().weight_decay == 100
    assert f"are {30 * math.ceil(1000 / 64)} steps" in flat("stopped-too-early")
    assert f"{SHARE:.0%}".replace("%", " %") in (FOLDER / "watch.md").read_text(encoding="utf-8")
    readme = (FOLDER.parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"[{len(CAUSES)} causes]" in readme
    images = load_digits().images / 16
    assert f"(images - {images.mean():.3f}) / {images.std():.3f}" in LOOP


def test_a_finding_names_its_page() -> None:
    finding = Finding("leakage", "", (), Remedy(""))
    assert (FOLDER.parents[1] / finding.page).read_text(encoding="utf-8") == page_of("leakage")


def run(program: str, folder: Path) -> str:
    path = folder / "loop.py"
    path.write_text(program, encoding="utf-8")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    return done.stdout


def test_the_loop_is_healthy(tmp_path: Path) -> None:
    assert "healthy: nothing wrong was found" in run(LOOP, tmp_path)


PROVOKED = [cause for cause in CAUSES if blocks(page_of(cause), "diff")]


@pytest.mark.slow
@pytest.mark.parametrize("cause", PROVOKED)
def test_what_is_provoked_is_named_first(cause: str, tmp_path: Path) -> None:
    assert cause in all_checks()
    (diff,) = blocks(page_of(cause), "diff")
    said = run(changed(LOOP, diff), tmp_path)
    assert re.findall(r"^([a-z-]+): [A-Z]", said, re.MULTILINE)[:1] == [cause]
