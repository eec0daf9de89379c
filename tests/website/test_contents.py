"""The whole site: every link resolves, nothing is asked elsewhere, every number is Python's."""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import fathom
from fathom.evaluate import Evaluation
from fathom.experiments import run as run_experiment
from fathom.figures.networks import counted
from fathom.ledger import claims
from fathom.ledger.recorded import recorded
from fathom.website import Site, pages, write_site
from tests.experiments import small
from tests.test_report import Page, make
from tests.website.reading import pages_of, targets

NETWORKS = ["vgg16", "resnet18", "mobilenet_v2", "cifar_resnet20", "alexnet_2012"]
HOSTILE = ("<img src=x onerror=alert(1)>", "..\\up", "a b", "A B", "index", "javascript:alert(1)")


@dataclass
class Written:
    """A site, its pages, and what it was made from."""

    site: Site
    pages: dict[str, Page]
    found: Evaluation


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A site of some networks and claims, all recorded experiments, and a folder of runs."""
    runs = tmp_path_factory.mktemp("site") / "runs"
    _, found = make(runs / "pets-1")
    for name in HOSTILE:
        make(runs / name)
    make(runs / "going", status="going")
    make(runs / "diverged", status="diverged")
    (runs / "broken").mkdir()
    (runs / "broken" / "recipe.json").write_text("{")
    (runs / "degradation").mkdir()
    (runs / "degradation" / "experiment.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        small.install(patch)
        list(run_experiment(small.plan(command="fathom experiment"), runs / "mine"))
        patch.setattr("fathom.website.networks.list_models", lambda: NETWORKS)
        patch.setattr("fathom.website.contents.claims", lambda: claims("bn.*"))
        site = write_site(runs.parent / "out", pages(runs))
    return Written(site, pages_of(site.folder), found)


def test_every_link_is_a_file_of_the_site(written: Written) -> None:
    links = 0
    for path, page in written.pages.items():
        anchors = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
        for target in targets(page):
            if target.startswith("data:"):
                continue
            parts = urlsplit(target)
            assert not parts.scheme, (path, target)
            assert not parts.netloc, (path, target)
            assert not parts.path.startswith("/"), (path, target)
            if not parts.path:
                assert parts.fragment in anchors, (path, target)
                continue
            place = posixpath.normpath(posixpath.join(posixpath.dirname(path), parts.path))
            assert place in written.site.files, (path, target)
            links += 1
    assert links > 100


def test_every_page_is_linked(written: Written) -> None:
    reached, waiting = set(), ["index.html"]
    while waiting:
        path = waiting.pop()
        if path in reached or not path.endswith(".html"):
            continue
        reached.add(path)
        for target in targets(written.pages[path]):
            place = target.partition("#")[0]
            if place and not place.startswith("data:"):
                waiting.append(posixpath.normpath(posixpath.join(posixpath.dirname(path), place)))
    assert reached == set(written.pages)


def test_nothing_is_asked_of_another_host(written: Written) -> None:
    for path, page in written.pages.items():
        assert not re.search(r"\bhttps?:|url\(|@import", page.source), path
        policies = [a["content"] or "" for _, a in page.tags if a.get("http-equiv")]
        assert len(policies) == 1
        assert "default-src 'none'" in policies[0]
        for tag, attrs in page.tags:
            assert tag not in {"iframe", "object", "embed", "base", "form"}, path
            assert not any(key.startswith("on") for key in attrs), (path, tag)
            if tag == "script":
                assert "src" in attrs or attrs["type"] == "application/json", path
    own = (written.site.folder / "assets" / "page.js").read_text()
    assert "http" not in own
    assert 'plotlyServerURL: ""' in own


def test_every_page_can_be_read_by_ear_and_by_keyboard(written: Written) -> None:
    for path, page in written.pages.items():
        tags = [tag for tag, _ in page.tags]
        assert tags.count("h1") == tags.count("main") == 1, path
        skip = next(attrs for tag, attrs in page.tags if tag == "a")
        assert skip["href"] == "#content", path
        for tag, attrs in page.tags:
            if "plot" in (attrs.get("class") or "").split() or tag == "img":
                assert attrs.get("aria-label") or attrs.get("alt"), path


def test_the_table_of_networks_has_the_numbers_of_the_cards(written: Written) -> None:
    text = written.pages["index.html"].text
    for name in NETWORKS:
        card = fathom.model_card(name)
        row = f"{name}{card.family}{card.year}{card.params:,}{card.macs:,}{card.flops:,}"
        row += str(card.image_size)
        figure = card.comparable
        if figure is None or figure.top1 is None:
            row += "–"
        else:
            row += f"{100 * figure.top1:.2f} %"
        assert row in text, name


def test_a_click_on_a_dot_opens_the_page_of_its_network(written: Written) -> None:
    page = written.pages["index.html"]
    boxes = [a for _, a in page.tags if "plot" in (a.get("class") or "").split()]
    assert [box["data-opens"] for box in boxes] == ["networks"] * 3
    for figure in page.data:
        names = [name for trace in figure["data"] for name in trace.get("customdata", ())]
        assert names
        assert {f"networks/{name}.html" for name in names} <= set(written.pages)


def test_the_most_accurate_within_a_budget_is_named(written: Written) -> None:
    cards = [fathom.model_card(name) for name in NETWORKS]
    for millions in (5, 10, 30, 100):
        inside = [(c.comparable.top1, c) for c in cards
                  if c.comparable and c.comparable.top1 and c.params <= 1e6 * millions]  # fmt: skip
        top1, best = max(inside, key=lambda pair: pair[0])
        assert (
            f"With at most {millions} million parameters: {best.name}: {100 * top1:.2f} % with "
            f"{best.params / 1e6:.2f} million." in written.pages["index.html"].text
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_its_own_numbers(written: Written, name: str) -> None:
    page, card, found = (
        written.pages[f"networks/{name}.html"],
        fathom.model_card(name),
        counted(name),
    )
    assert found.receptive_field is not None
    for number in (
        f"Parameters{card.params:,}",
        f"Multiply-adds{card.macs:,} for",
        f"FLOPs{card.flops:,} (",
        f"{found.training_bytes / 2**20:,.1f} MiB",
        f"{found.receptive_field.size[0]:,} pixels",
    ):
        assert number in page.text, number
    assert card.block in page.text
    for stage in card.stages:
        row = f"{stage.name}{stage.size} × {stage.size}{stage.channels}{stage.depth or ''}"
        assert row + stage.made_of in page.text
    sizes, costs, fields = page.data
    assert [trace["name"] for trace in sizes["data"]] == ["pixels a side", "channels"]
    assert sum(value for _, value in costs["data"][1]["customdata"]) == card.macs
    assert (
        fields["data"][0]["y"][-1]
        == [layer.field.size[0] for layer in found.layers if layer.field is not None][-1]
    )


def test_claims_are_those_of_the_ledger_with_links_to_their_experiments(written: Written) -> None:
    page = written.pages["claims.html"]
    rows = claims("bn.*")
    articles = [attrs["id"] for tag, attrs in page.tags if tag == "article"]
    assert articles == [row.id for row in rows]
    for row in rows:
        assert row.explanation in page.text
    drawn = [row.experiment for row in rows if row.experiment and recorded(row.experiment)]
    assert drawn
    assert len(page.data) == len(drawn)
    assert {f"experiments/{name}.html" for name in drawn} <= set(targets(page))


def test_recorded_experiments_and_ones_own_have_pages(written: Written) -> None:
    index = written.pages["experiments/index.html"]
    results = recorded("degradation")
    assert results is not None
    for sentence in results["findings"]["sentences"]:
        assert sentence in written.pages["experiments/degradation.html"].text
    mine = json.loads((written.site.folder.parent / "runs" / "mine" / "results.json").read_text())
    own = written.pages["experiments/mine.html"].text
    for sentence in mine["findings"]["sentences"]:
        assert sentence in own
    # one's own of the same name, which has no results yet, does not take the recorded one's place
    assert "degradationno results yet" in index.text
    assert [t for t in targets(index) if t.startswith("degradation")] == ["degradation.html"]


def test_runs_have_their_reports_whatever_they_are_called(written: Written) -> None:
    index = written.pages["runs/index.html"]
    for name in (*HOSTILE, "pets-1", "going", "diverged"):
        assert name in index.text
    reports = [path for path in written.pages if re.fullmatch(r"runs/(?!index\.html).*", path)]
    assert len(reports) == len(HOSTILE) + 3
    assert "img" not in {tag for tag, _ in index.tags}
    found = written.found
    row = f"{100 * found.top1:.2f} %{found.loss:.4f}1 min 1 s40"
    assert f"pets-1cifar_resnet20petsFinished, judged by validation images{row}" in index.text
    report = written.pages["runs/pets-1.html"]
    assert f"{100 * found.top1:.1f} % of 25 validation images" in report.text
    assert len(report.data) == 7


def test_a_run_in_progress_and_a_broken_one_are_told(written: Written) -> None:
    index = written.pages["runs/index.html"].text
    assert "goingcifar_resnet20petsNo result yet–––40" in index
    assert "it is still going, or it was interrupted" in written.pages["runs/going.html"].text
    assert "divergedcifar_resnet20petsDiverged–––40" in index
    assert re.search(r"broken––[^–]*recipe\.json is damaged", index)
    assert "runs/broken.html" not in written.pages


def test_without_runs_the_site_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fathom.website.networks.list_models", lambda: ["mobilenet_v2"])
    monkeypatch.setattr("fathom.website.contents.claims", lambda: claims("bn.*"))
    found = pages_of(write_site(tmp_path / "site", pages(tmp_path)).folder)
    assert "There was no run" in found["runs/index.html"].text
    assert "In the folder of runs" not in found["experiments/index.html"].text
