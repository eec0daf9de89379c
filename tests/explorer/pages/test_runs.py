"""Runs on the page are those of the folder, side by side and in full."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fathom
from fathom.doctor import Observed, record
from fathom.explorer.courses import ACROSS, MEASURES
from fathom.explorer.folders import run_names
from fathom.explorer.one_run import draw_run, plain
from fathom.explorer.page import Page
from fathom.explorer.pages.runs import draw_compared, draw_differences, page
from fathom.explorer.shell import page_layout
from fathom.report.markup import el, percent, span
from fathom.report.material import read_run
from fathom.training.choices import SGD
from fathom.training.run import Run
from tests.doctor.making import CHART, FINDING
from tests.explorer.making import epoch, make_run, step
from tests.explorer.reading import components, figure_of, text_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, one that broke off, and a folder that is none."""
    folder = tmp_path_factory.mktemp("all") / "runs"
    spec = {"depths": [1, 1, 1], "widths": [4, 4, 4]}
    recipe = fathom.recipe("default", "digits", epochs=2)
    recipe = replace(recipe, model=type(recipe.model)("cifar_resnet20", spec))
    list(fathom.train(recipe, out=folder / "whole"))
    for _ in zip(range(3), fathom.train(recipe, out=folder / "<b>part"), strict=False):
        pass
    (folder / "whole" / "report.html").write_text("report")
    (folder / "other").mkdir()
    return folder


def cards(page: Page, **values: Any) -> dict[str, Any]:
    """What each card draws for these values."""
    known = page.read("") | values
    return {card.name: card.draw(**{n: known[n] for n in card.uses}) for card in page.cards}


@pytest.mark.parametrize("name", ["..", "../runs/whole", "/etc", "other", "whole/checkpoints"])
def test_an_address_reads_no_other_folder(runs: Path, name: str) -> None:
    assert page(runs).read(f"?runs={name}")["runs"] == []
    said = text_of(list(cards(page(runs), runs=[name]).values()))
    assert said.count("no run is called") == 3


def test_runs_side_by_side_are_those_of_their_files(runs: Path) -> None:
    whole, part = (read_run(runs / name) for name in ("whole", "<b>part"))
    found = whole.evaluation
    assert found is not None
    said = text_of(draw_compared([whole, part], "top1", "epoch"))
    for words in (percent(found.top1, 2), span(found.top1_low, found.top1_high), "Finished"):
        assert words in said
    assert f"{found.loss:.4f}" in said
    assert "In progress" in said, "its log has just grown"
    (line,) = figure_of(draw_compared([whole, part], "top1", "step"), "runs-courses").data
    assert list(line.y) == [100 * e.top1 for e in whole.epochs if e.top1 is not None]
    assert list(line.x) == [e.step for e in whole.epochs if e.top1 is not None]


def test_every_choice_of_every_control_draws(runs: Path) -> None:
    for measure in MEASURES:
        for across in ACROSS:
            found = cards(page(runs), runs=["whole"], measure=measure, across=across)
            said = text_of(list(found.values()))
            assert "could not be drawn" not in said
            by_step = MEASURES[measure].by_step and across == "epoch"
            assert ("choose steps or time" in said) == by_step


def test_what_runs_differ_in_and_nothing_else(tmp_path: Path) -> None:
    recipe = fathom.recipe("default", "digits", epochs=4)
    assert isinstance(recipe.optimizer, SGD)
    plain_run = read_run(make_run(tmp_path / "a", []))
    slow = replace(recipe.optimizer, lr=0.015625)
    other = read_run(make_run(tmp_path / "b", [], optimizer=slow, epochs=3))
    table = next(c for c in components(draw_differences([plain_run, other])) if "Tbody" in str(c))
    found = components(table)
    rows = {
        text_of(r.children[0]): text_of(r.children[1:]) for r in found if type(r).__name__ == "Tr"
    }
    rows.pop("setting")
    assert rows == {
        "optimizer.lr": f"{recipe.optimizer.lr} 0.015625",
        "epochs": "4 3",
    }
    assert "Nothing: all" in text_of(draw_differences([plain_run, plain_run]))
    assert "Name two runs" in text_of(draw_differences([other]))


def test_a_run_in_full_is_its_files(runs: Path) -> None:
    whole = read_run(runs / "whole")
    found = whole.evaluation
    assert found is not None
    one = draw_run(whole)
    said = text_of(one)
    assert percent(found.top1) in said
    assert f"{found.num_images - round(found.top1 * found.num_images)} of" in said
    counts = figure_of(one, "runs-confusion").data[0].customdata
    assert [[cell[0] for cell in row] for row in counts] == [list(r) for r in found.matrix]
    assert list(figure_of(one, "runs-batches").data[0].y) == [s.loss for s in whole.steps]
    assert list(figure_of(one, "runs-rate").data[0].y) == [s.lr for s in whole.steps]
    links = [c.href for c in components(one) if hasattr(c, "href")]
    assert links == ["/report/whole"]


def test_confusions_are_shown_with_their_pictures(runs: Path) -> None:
    whole = read_run(runs / "whole")
    assert whole.evaluation is not None
    pairs = whole.evaluation.confusions
    assert pairs, "a network of a hundred steps errs"
    one = draw_run(whole)
    images: list[Any] = [c for c in components(one) if type(c).__name__ == "Img"]
    wanted = [whole.picture(place) for pair in pairs for place, _ in pair.examples]
    assert [i.src for i in images] == [p.uri for p in wanted if p is not None]
    assert all(image.alt.startswith("An image of class ") for image in images)
    for pair in pairs:
        assert f"“{pair.true}” taken for “{pair.predicted}”: {pair.count}" in text_of(one)


def test_a_run_that_broke_off_says_how_to_go_on(tmp_path: Path) -> None:
    log = [step(1, 1.0), epoch(0, 8, 4.0, top1=0.5), step(10, 5.0)]
    run = read_run(make_run(tmp_path / "<b>run", log))
    going = text_of(draw_run(run))
    assert "In progress" in going
    assert "It is at step 10, in epoch 1, of 4\N{NO-BREAK SPACE}epochs" in going
    assert "About 9.0\N{NO-BREAK SPACE}s are left." in going
    make_run(tmp_path / "<b>run", log, result={"status": "diverged", "reason": "a < b & c"})
    ended = text_of(draw_run(read_run(tmp_path / "<b>run")))
    assert "Diverged" in ended
    assert "a < b & c" in ended, "as text, which React escapes"


def test_text_of_a_report_is_plain() -> None:
    assert plain(el("p", "a < b & ", el("bdi", "<script>"))) == "a < b & <script>"


def test_many_classes_are_shown_in_part(runs: Path, tmp_path: Path) -> None:
    whole = read_run(runs / "whole")
    assert whole.evaluation is not None
    count = 60
    score = whole.evaluation.per_class[0]
    matrix = tuple(tuple(3 if i == j else int(j == 0) for j in range(count)) for i in range(count))
    many = replace(
        whole.evaluation,
        per_class=tuple(replace(score, name=f"c{i}") for i in range(count)),
        matrix=matrix,
        num_images=sum(map(sum, matrix)),
    )
    one = draw_run(replace(whole, evaluation=many))
    assert len(figure_of(one, "runs-confusion").data[0].z) == 30
    assert "the 30 classes with the most mistakes" in text_of(one)
    assert "59 of 239" in text_of(one)


def test_without_a_choice_the_newest_are_shown(tmp_path: Path) -> None:
    empty = cards(page(tmp_path / "runs"))
    assert "There is no run in" in text_of(empty["compared"])
    assert "There is no run in" in text_of(empty["run"])
    for name in ("a", "b", "c"):
        make_run(tmp_path / name, [epoch(0, 8, 4.0), step(10, 5.0)])
    first, second, _ = run_names(tmp_path)
    found = cards(page(tmp_path))
    told = text_of(found["compared"])
    assert f"{first}: 50.00 % at epoch 1." in told
    assert f"{second}: 50.00 % at epoch 1." in told
    assert text_of(found["run"]).startswith(f"{first} :")


def test_new_runs_and_new_records_change_the_stamp(tmp_path: Path) -> None:
    made = page(tmp_path)

    def shown() -> str:
        found = page_layout(made, made.read(""))
        ids: dict[str, Any] = {getattr(c, "id", ""): c for c in components(found)}
        return str(ids["runs-run-shown"].data[0])

    seen = [shown()]
    make_run(tmp_path / "a", [])
    seen.append(shown())
    (tmp_path / "a" / "metrics.jsonl").write_text(json.dumps(step(1, 1.0)) + "\n")
    seen.append(shown())
    assert len(set(seen)) == 3
    assert shown() == seen[-1]
    assert made.read("?runs=a")["runs"] == ["a"], "one that came after the page was made"


def test_findings_of_the_doctor_come_with_a_button_that_copies_the_remedy(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [])
    record.write(Run(run), Observed(over=True), [FINDING], seconds=0.0)
    drawn = draw_run(read_run(run))
    said = text_of(drawn)
    assert "The learning rate is too high" in said
    assert FINDING.says in said
    assert FINDING.remedy.words in said
    (button,) = [part for part in components(drawn) if type(part).__name__ == "Clipboard"]
    assert button.to_plotly_json()["props"]["content"] == "--set optimizer.lr=0.0625"  # type: ignore[no-untyped-call]
    assert list(figure_of(drawn, "runs-finding-0").data[0].y) == list(CHART.series[0].y)
    record.write(Run(run), Observed(over=True), [], seconds=0.0)
    healthy = draw_run(read_run(run))
    assert "found nothing wrong" in text_of(healthy)
    assert not [part for part in components(healthy) if type(part).__name__ == "Clipboard"]
