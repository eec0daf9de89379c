"""Runs on the page are those of the folder, and nothing beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

import fathom
from fathom.errors import UserError
from fathom.explorer.pages.runs import draw_compared, draw_run, inside, page, run_names
from fathom.report.material import read_run
from tests.explorer.reading import figure_of, text_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, one that broke off, and a folder that is none."""
    folder = tmp_path_factory.mktemp("all") / "runs"
    spec = {"depths": [1, 1, 1], "widths": [4, 4, 4]}
    recipe = fathom.recipe("default", "digits", epochs=2)
    recipe = fathom.Recipe(**{**vars(recipe), "model": type(recipe.model)("cifar_resnet20", spec)})
    list(fathom.train(recipe, out=folder / "whole"))
    for _ in zip(range(3), fathom.train(recipe, out=folder / "<b>part"), strict=False):
        pass
    (folder / "other").mkdir()
    return folder


def test_only_runs_are_listed(runs: Path) -> None:
    assert sorted(run_names(runs)) == ["<b>part", "whole"]
    assert run_names(runs / "nowhere") == []


@pytest.mark.parametrize("name", ["..", "../runs/whole", "/etc", "other", "", "whole/checkpoints"])
def test_no_other_folder_is_read(runs: Path, name: str) -> None:
    with pytest.raises(UserError, match="no run is called"):
        inside(runs, name)
    assert page(runs).read(f"?runs={name}")["runs"] == run_names(runs)[:1]


def test_figures_are_those_of_the_run(runs: Path) -> None:
    whole, part = (read_run(inside(runs, name)) for name in ("whole", "<b>part"))
    assert whole.evaluation is not None
    said = text_of(draw_compared([whole, part]))
    assert f"{100 * whole.evaluation.top1:.2f} %" in said
    assert f"{whole.evaluation.loss:.4f}" in said
    assert "No result yet" in said
    one = draw_run(whole)
    counts = figure_of(one, "runs-confusion").data[0].customdata
    assert [[cell[0] for cell in row] for row in counts] == [
        list(r) for r in whole.evaluation.matrix
    ]
    assert len(figure_of(one, "runs-top1").data) >= 2


def test_a_run_that_broke_off_says_so(runs: Path) -> None:
    assert "No result yet" in text_of(draw_run(read_run(runs / "<b>part")))


def test_without_runs_it_says_where_they_would_be(tmp_path: Path) -> None:
    found = page(tmp_path / "runs")
    one = next(card for card in found.cards if card.name == "run")
    assert "folders of runs" in text_of(one.draw([]))
