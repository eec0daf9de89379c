"""The batch norm lab: its numbers are those of PyTorch's modules on the network's activations."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fathom import norm_lab
from fathom.explorer.pages.batch_norm import (
    EXAMPLE,
    GROUPS,
    LAYERS,
    draw_activations,
    draw_example,
    draw_running,
    number,
    page,
)
from fathom.explorer.shell import drawn
from fathom.ledger import claims
from tests.explorer.reading import components, figure_of, text_of

LAYER, CHANNEL = "stages.1.1.branch.1", 7
NORM = {"gamma": 2.0, "beta": 1.0, "eps": -5.0, "momentum": 0.1}


def activations(**changes: Any) -> Any:
    values = {"layer": LAYER, "channel": CHANNEL, "batch": 5, "mode": "train", "steps": 10}
    return draw_activations(**{**values, **NORM, **changes})


def rows_of(found: Any) -> list[list[str]]:
    """The cells of a table's body."""
    rows = [c for c in components(found) if type(c).__name__ == "Tr"]
    return [[text_of(cell) for cell in row.children] for row in rows][1:]


def told(values: Tensor) -> list[str]:
    deviation = (values - values.mean()).square().mean().sqrt()
    return [number(float(v)) for v in (values.mean(), deviation, values.min(), values.max())]


def batch(size: int, layer: str = LAYER, channel: int = CHANNEL) -> Tensor:
    maps = norm_lab.digits_into_norms()[layer]
    return next(norm_lab.batches(maps, size))[:, channel : channel + 1]


@pytest.mark.parametrize("size", [1, 2, 32, 256])
def test_training_takes_out_the_statistics_of_the_batch(size: int) -> None:
    found = activations(batch=size.bit_length() - 1)
    raw = batch(size)
    hat = nn.functional.batch_norm(raw, None, None, training=True)
    assert rows_of(found) == [
        ["as it comes in", *told(raw)],
        ["normalised", *told(hat)],
        ["times gamma, plus beta", *told(2 * hat + 1)],
    ]
    assert f"{raw.numel():,} values" in text_of(found)
    assert ("PyTorch refuses" in text_of(found)) == (size == 1)


def test_evaluation_takes_out_the_running_statistics() -> None:
    found = activations(mode="eval", steps=3, momentum=0.3)
    maps = norm_lab.digits_into_norms()[LAYER][:, CHANNEL : CHANNEL + 1]
    norm = nn.BatchNorm2d(1, momentum=0.3)
    for _, seen in zip(range(3), norm_lab.batches(maps, 32), strict=False):
        norm(seen)
    hat = norm.eval()(batch(32)).detach()
    assert rows_of(found)[1] == ["normalised", *told(hat)]
    assert norm.running_mean is not None
    assert f"after 3 steps, {number(float(norm.running_mean))}" in text_of(found)
    alone = text_of(activations(mode="eval", batch=0))
    assert "PyTorch refuses" not in alone  # evaluation does not mind a single image


def test_histograms_hold_the_same_values() -> None:
    found = activations()
    (before,) = figure_of(found, "batch-norm-before").data
    plain, scaled = figure_of(found, "batch-norm-after").data
    for trace, values in ((before, batch(32)), (plain, None), (scaled, None)):
        mean = sum(x * y for x, y in zip(trace.x, trace.y, strict=True)) / 100
        width = trace.x[1] - trace.x[0]
        wanted = 0 if trace is plain else 1 if trace is scaled else float(values.mean())  # type: ignore[union-attr]
        assert mean == pytest.approx(wanted, abs=width / 2)


def test_a_large_epsilon_is_spoken_of() -> None:
    assert "no trifle" in text_of(activations(eps=1))
    assert "no trifle" not in text_of(activations(eps=-5))


def test_the_example_is_that_of_the_ledger() -> None:
    found = draw_example(2, 1, -5)
    (row,) = claims("bn.worked_example")
    assert isinstance(row.computed, dict)
    rows = rows_of(found)
    assert [r[0] for r in rows] == [f"{x:g}" for x in EXAMPLE]
    assert [float(r[2]) for r in rows] == pytest.approx(row.computed["xhat"], abs=6e-4)
    assert [float(r[3]) for r in rows] == pytest.approx(row.computed["y"], abs=6e-4)
    assert f"1. Mean {row.computed['mean']:g}" in text_of(found)
    assert f"2. Variance {row.computed['var']:g}" in text_of(found)


@pytest.mark.parametrize(("gamma", "beta", "power"), [(-3, 3, 1), (0, 0, -8), (1.5, -0.5, 0)])
def test_the_example_follows_its_sliders(gamma: float, beta: float, power: float) -> None:
    x = torch.tensor(EXAMPLE, dtype=torch.float64)[:, None]
    hat = nn.functional.batch_norm(x, None, None, training=True, eps=10**power)
    rows = rows_of(draw_example(gamma, beta, power))
    assert [r[2] for r in rows] == [number(float(v)) for v in hat]
    assert [r[3] for r in rows] == [number(float(gamma * v + beta)) for v in hat]


@pytest.mark.parametrize("momentum", [0.01, 0.1, 1.0])
def test_running_statistics_are_those_of_the_module(momentum: float) -> None:
    found = draw_running(LAYER, CHANNEL, 4, momentum, 5)
    maps = norm_lab.digits_into_norms()[LAYER][:, CHANNEL : CHANNEL + 1]
    norm, means, variances = nn.BatchNorm2d(1, momentum=momentum), [0.0], [1.0]
    assert norm.running_mean is not None
    assert norm.running_var is not None
    for _, seen in zip(range(60), norm_lab.batches(maps, 16), strict=False):
        norm(seen)
        means.append(float(norm.running_mean))
        variances.append(float(norm.running_var))
    for name, wanted in (("means", means), ("variances", variances)):
        running, own = figure_of(found, f"batch-norm-{name}").data
        assert list(running.y) == pytest.approx(wanted)
        assert len(own.y) == 61
        (mark,) = figure_of(found, f"batch-norm-{name}").layout.shapes
        assert mark.x0 == 5
    assert f"After 5 steps the running mean is {number(means[5])}" in text_of(found)
    assert f"{100 * (1 - momentum) ** 5:.2g} % of the start" in text_of(found)
    (gaps,) = figure_of(found, "batch-norm-gaps").data
    assert gaps.y[0] > gaps.y[-1]
    assert f"lie {number(gaps.y[5])} from" in text_of(found)


def cards() -> list[Any]:
    return list(page().cards)


@cache
def said(search: str) -> dict[str, str]:
    """What each card says, by its name."""
    values = page().read(f"?{search}")
    return {card.name: text_of(drawn(card, values)) for card in cards()}


@pytest.mark.parametrize(
    "search",
    [
        *(f"layer={layer}&channel=15&groups={g}" for layer in LAYERS for g in GROUPS[::4]),
        "batch=0&steps=0",
        "batch=0&mode=eval&steps=0&momentum=1",
        "batch=8&mode=eval&steps=60&momentum=0.01",
        "gamma=0&beta=-3&eps=1",
        "gamma=-3&beta=3&eps=-8",
        "channel=3.7&batch=2.5&steps=10.5",
    ],
)
def test_everything_can_be_drawn(search: str, capsys: pytest.CaptureFixture[str]) -> None:
    values = page().read(f"?{search}")
    for card in cards():
        assert "could not be drawn" not in text_of(drawn(card, values)), card.name
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("search", "changed"),
    [
        ("layer=stem.1", "activations running blocks noise"),
        ("channel=2", "activations running blocks noise"),
        ("batch=1", "activations running blocks"),
        ("mode=eval", "activations"),
        ("gamma=1", "activations example"),
        ("beta=0", "activations example"),
        ("eps=0", "activations example"),
        ("momentum=0.5&mode=eval", "activations running"),
        ("steps=20&mode=eval", "activations running"),
        ("groups=2", "blocks noise"),
    ],
)
def test_a_control_changes_what_it_should(search: str, changed: str) -> None:
    base = "mode=eval" if "&mode=eval" in search else ""
    before, after = said(base), said(search)
    assert [name for name in before if before[name] != after[name]] == changed.split()
    (name,) = {part.partition("=")[0] for part in search.split("&")} - ({"mode"} if base else set())
    assert {c.name for c in cards() if name in c.uses} >= set(changed.split())


def test_an_address_cannot_ask_for_what_is_not_there() -> None:
    asked = page().read("?layer=head&channel=99&batch=-1&gamma=nan&eps=2&groups=3&mode=both")
    assert asked == page().read("")


def test_layers_are_norms_of_the_network() -> None:
    maps = norm_lab.digits_into_norms()
    for layer in LAYERS:
        assert maps[layer].shape[1] % max(map(int, GROUPS)) == 0
        assert maps[layer].shape[2] > 1
