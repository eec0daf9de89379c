"""Numbers as the browser shows them are those of the code that trains: more than a hundred."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

import fathom
from fathom.costs import cost
from fathom.figures.charts import LineChart, chart_from_dict
from fathom.ledger import Row
from fathom.ledger.claim import in_words
from fathom.ledger.recorded import recorded
from fathom.models.registry import build_model, list_models, model_card
from fathom.report.material import read_run
from tests.browser.driving import Site, Tab

NETWORKS = ["vgg16", "resnet50", "mobilenet_v2", "convnext_tiny"]
EXPERIMENT = "degradation"
_COMPARED = (
    "year",
    "input",
    "parameters",
    "multiply-adds",
    "FLOPs",
    "memory of a training step, one image",
    "receptive field",
    "top-1",
)
_TABLE = """
label => [...document.querySelectorAll(`[role=region][aria-label="${label}"] tr`)]
  .map(row => [...row.children].map(cell => cell.textContent))
"""
_TERMS = """
within => Object.fromEntries([...document.querySelectorAll(`${within} dl.facts dt`)]
  .map(term => [term.textContent, term.nextElementSibling.textContent]))
"""
_DOTS = """
id => document.querySelector(`[id='${id}'] .js-plotly-plot`).data
  .filter(trace => Array.isArray(trace.customdata) && trace.customdata.length)
  .flatMap(trace => trace.customdata.map((name, i) => [name, trace.x[i], trace.y[i]]))
"""
_LINES = """
id => document.querySelector(`[id='${id}'] .js-plotly-plot`).data
  .map(trace => [trace.name ?? '', [...(trace.y ?? [])]])
"""


def number(text: str) -> float:
    """The first number of a text."""
    found = re.search(r"-?\d[\d,]*(\.\d+)?", text)
    assert found is not None, text
    return float(found.group().replace(",", ""))


def table(tab: Tab, label: str) -> dict[str, list[str]]:
    """The rows of a table by their first cell."""
    return {row[0]: row[1:] for row in tab.page.evaluate(_TABLE, label)}


def test_networks_side_by_side_have_the_costs_of_their_cards(tab: Tab) -> None:
    tab.go(f"?networks={','.join(NETWORKS)}")
    shown = table(tab, "Networks side by side")
    assert shown[""] == NETWORKS
    for column, name in enumerate(NETWORKS):
        card = model_card(name)
        model = build_model(name).eval()
        found = cost(model, image_size=card.image_size, in_channels=card.in_channels)
        said = {term: number(cells[column]) for term, cells in shown.items() if term in _COMPARED}
        assert card.headline is not None
        assert card.headline.top1 is not None
        assert found.receptive_field is not None
        assert said == {
            "year": card.year,
            "input": card.image_size,
            "parameters": sum(p.numel() for p in model.parameters()),
            "multiply-adds": found.macs,
            "FLOPs": 2 * found.macs,
            "memory of a training step, one image": round(found.training_bytes / 2**20, 1),
            "receptive field": found.receptive_field.size[0],
            "top-1": round(100 * card.headline.top1, 2),
        }


def test_the_chosen_network_has_the_facts_and_stages_of_its_card(tab: Tab) -> None:
    tab.go("?networks=resnet50")
    card = model_card("resnet50")
    facts = tab.page.evaluate(_TERMS, "main")
    assert number(facts["Parameters"]) == card.params
    assert number(facts["Multiply-adds"]) == card.macs
    stages = table(tab, "Stages of resnet50")
    for stage in card.stages:
        output, channels = stages[stage.name][:2]
        assert (number(output), number(channels)) == (stage.size, stage.channels)


def test_dots_of_the_chart_are_where_the_cards_say(tab: Tab) -> None:
    tab.go("?x=params&y=top5")
    shown = {
        name: (x, y)
        for name, x, y in tab.page.evaluate(_DOTS, "home-chart-graph")
        if name in list_models()
    }
    cards = [model_card(name) for name in list_models()]
    held = [card for card in cards if card.comparable and card.comparable.top5]
    assert set(shown) == {card.name for card in held}
    assert len(shown) > 30
    for card in held:
        assert card.comparable is not None
        assert card.comparable.top5 is not None
        expected = (1e-6 * card.params, 100 * card.comparable.top5)
        assert shown[card.name] == pytest.approx(expected)


def test_a_run_has_the_results_of_its_folder(tab: Tab, site: Site) -> None:
    tab.go("runs?runs=whole")
    run = read_run(site.runs / "whole")
    assert run.evaluation is not None
    heads, cells = tab.page.evaluate(_TABLE, "Runs side by side")
    said = dict(zip(heads, cells, strict=True))
    assert number(said["top-1"]) == round(100 * run.evaluation.top1, 2)
    assert number(said["loss"]) == round(run.evaluation.loss, 4)
    lines = tab.page.evaluate(_LINES, "runs-courses")
    courses = [[100 * epoch.top1 for epoch in run.epochs if epoch.top1 is not None]]
    assert [y for _, y in lines if y] == [pytest.approx(y) for y in courses]


def test_claims_are_judged_as_the_ledger_judges_them(tab: Tab) -> None:
    tab.go("claims?section=resnet&kind=computed")
    rows: list[Row] = [row for row in fathom.claims("resnet.*") if row.kind == "computed"]
    numbers: list[Any] = []
    for row in rows:
        facts = tab.page.evaluate(_TERMS, f"[id='{row.id}']")
        assert facts["Computed"] == in_words(row.computed)
        assert facts["Stated"] == in_words(row.stated)
        numbers += re.findall(r"\d[\d.,]*", facts["Computed"])
        head = tab.page.locator(f"[id='{row.id}'] h3")
        expect(head).to_have_text(f"{row.id} {row.verdict}", use_inner_text=True)
    assert len(numbers) >= 10
    assert number(tab.page.locator("main .card p").first.inner_text()) == len(rows)


def test_an_experiment_has_the_numbers_that_are_recorded(tab: Tab) -> None:
    tab.go(f"experiments?experiment={EXPERIMENT}")
    found = recorded(EXPERIMENT)
    assert found is not None
    said = tab.page.locator("main").inner_text()
    for sentence in found["findings"]["sentences"]:
        assert sentence in said
    drawn = 0
    for number_of, values in enumerate(found["findings"]["charts"]):
        chart = chart_from_dict(values)
        if isinstance(chart, LineChart):
            lines = [y for _, y in tab.page.evaluate(_LINES, f"experiments-chart-{number_of}")]
            for series in chart.series:
                assert any(line == pytest.approx(list(series.y)) for line in lines), series.name
                drawn += len(series.y)
    assert drawn >= 10
