"""The page of an experiment."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fathom.errors import UserError
from fathom.experiments import run
from fathom.report.experiment_page import experiment_sheet, write_experiment
from fathom.report.page import document
from fathom.spread import spread
from tests.experiments import small


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment that has ended, without its page."""
    out = tmp_path_factory.mktemp("page") / "experiment"
    with pytest.MonkeyPatch.context() as patch:
        small.install(patch)
        list(run(small.plan(command="fathom experiment '<script>'"), out))
    return out


@pytest.fixture
def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def plain(page: str) -> str:
    """The text between the tags of a page, without its scripts."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_the_page_is_written_beside_the_results(folder: Path) -> None:
    path = write_experiment(folder)
    assert path == folder / "report.html"
    text = plain(path.read_text(encoding="utf-8"))
    for part in (
        "Which learns faster?",
        "The fast one.",
        "What was found",
        "a.claim",
        "not-reproduced",
        "So few.",
        "40 training images",
        "8 × 8 pixels",
        "fathom experiment '&lt;script&gt;'".replace("'", "&#x27;"),
    ):
        assert part in text, part


def test_every_number_stands_in_the_table(results: dict[str, Any]) -> None:
    page = document(experiment_sheet(results))
    for seeds in results["cells"].values():
        found = spread([values["error"] for values in seeds.values()])
        assert f"{found.mean:.4g} ({found.low:.4g} to {found.high:.4g})" in page
    heads = re.findall(r'<th scope="col"[^>]*>([^<]+)</th>', page)
    assert heads == ["Arm", "Weights", "Error", "Seeds"], "no lists, no truths, no gaps"


def test_seeds_without_a_number_are_told(results: dict[str, Any]) -> None:
    results["cells"]["slow"]["1"]["weights"] = float("nan")
    results["cells"]["fast arm"]["0"]["weights"] = None
    results["cells"]["fast arm"]["1"]["weights"] = None
    page = document(experiment_sheet(results))
    alone = results["cells"]["slow"]["0"]["weights"]
    assert f"{alone:.4g}, 1 of 2 seeds" in page
    assert ">–</td>" in page


def test_a_quick_run_says_so(results: dict[str, Any]) -> None:
    results["setting"]["quick"] = True
    page = plain(document(experiment_sheet(results)))
    assert "A quick run" in page
    assert "What was found" not in page


def test_an_experiment_without_verdicts_or_training_has_a_page(results: dict[str, Any]) -> None:
    results["findings"]["verdicts"] = {}
    results["setting"].update(steps=None, epochs=None)
    page = plain(document(experiment_sheet(results)))
    assert " Claims " not in page
    assert " Training " not in page


def test_the_page_shows_the_stated_claim(results: dict[str, Any]) -> None:
    judged = results["findings"]["verdicts"].pop("a.claim")
    results["findings"]["verdicts"]["degradation.train_error"] = judged
    assert "higher training error" in plain(document(experiment_sheet(results)))


def test_charts_have_titles_captions_and_data(results: dict[str, Any]) -> None:
    page = document(experiment_sheet(results))
    (chart,) = results["findings"]["charts"]
    assert f"<h3>{chart['title']}</h3>" in page
    assert f"<figcaption>{chart['caption']}</figcaption>" in page
    stored = re.findall(r'<script type="application/json">(.*?)</script>', page, re.S)
    (drawn,) = map(json.loads, stored)
    assert drawn["data"][0]["name"] == "error"


def test_the_page_asks_nothing_of_the_network(results: dict[str, Any]) -> None:
    page = document(experiment_sheet(results))
    assert "default-src &#x27;none&#x27;" in page
    assert not re.search(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=", page)


def test_text_stays_text(results: dict[str, Any]) -> None:
    results["title"] = results["setting"]["data"] = "<b>bold</b>"
    results["findings"]["sentences"] = ["</main><i>"]
    page = document(experiment_sheet(results))
    assert "<b>" not in re.sub(r"<script\b.*?</script>", "", page, flags=re.S)
    assert "&lt;/main&gt;&lt;i&gt;" in page


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"results\.json is missing"):
        write_experiment(tmp_path)
