"""`fathom models`: the list of networks, one card, and which of them fits a budget."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from fathom.errors import require

if TYPE_CHECKING:
    from fathom.models.choose import Choice

Axis = Literal["params", "macs", "flops", "latency"]


def models(
    pattern: str = "*",
    /,
    *,
    max_params: str | None = None,
    max_macs: str | None = None,
    max_latency: str | None = None,
    sort: Literal["story", "top1", "year", "params", "macs", "flops", "latency"] = "story",
    pareto: Axis | None = None,
    device: str = "auto",
    json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> None:
    """List the networks: year, paper, parameters, operations, published accuracy; or show one.

    Parameters
    ----------
    pattern
        Part of the names, with * for anything, as in 'cifar_*'; one name shows its whole card.
    max_params
        Only networks with at most so many parameters, as 5M.
    max_macs
        Only networks with at most so many multiply-adds for an image, as 600M.
    max_latency
        Only networks that take at most so long for one image on this machine, as 20ms: measured
        when first asked for, then remembered.
    sort
        The most accurate or newest first, or the cheapest in params, macs, flops or latency.
    pareto
        Mark the networks that no other beats in accuracy at no more params, macs, flops or latency.
    device
        Where latency is measured: auto, cpu, cuda, cuda:1, mps.
    json
        Print one JSON object with a list of cards.
    """
    from fathom.cli.app import show_json
    from fathom.cli.zoo import show_card, show_models
    from fathom.models.choose import Choice, choose, frontier, parse_count, parse_seconds
    from fathom.models.registry import VARIANTS, model_card

    asked = {"params": max_params, "macs": max_macs}
    limits = {axis: parse_count(text, f"--max-{axis}") for axis, text in asked.items() if text}
    chosen = choose([Choice(model_card(name), None) for name in _named(pattern)], limits)
    timed = max_latency is not None or "latency" in (sort, pareto)
    require(timed or device == "auto", "--device has no effect where no latency is asked for")
    if max_latency is not None:
        limits["latency"] = parse_seconds(max_latency, "--max-latency")
    if timed:
        chosen = _timed([choice.card.name for choice in chosen], device)
    chosen = choose(chosen, limits, sort=sort)
    if pareto is not None:
        chosen = frontier(chosen, pareto)
    if json:
        show_json({"models": _rows(chosen, pareto)})
    elif pattern in VARIANTS and len(chosen) == 1 and not timed and pareto is None:
        show_card(chosen[0].card)
    else:
        show_models(chosen, pareto=pareto)


def _named(pattern: str) -> list[str]:
    """The networks that the pattern names. Raises UserError where there is none."""
    from fathom.errors import unknown
    from fathom.models.registry import VARIANTS, list_models

    found = list_models(pattern)
    if not found:
        raise unknown("model", pattern, VARIANTS, "`fathom models` lists all.")
    return found


def _rows(chosen: Sequence[Choice], pareto: Axis | None) -> list[dict[str, Any]]:
    """The cards as JSON, with FLOPs, latency and the frontier where it was asked for."""
    from dataclasses import asdict

    return [
        {
            **asdict(choice.card),
            "flops": choice.card.flops,
            "latency_seconds": choice.seconds,
            **({"frontier": choice.frontier} if pareto is not None else {}),
        }
        for choice in chosen
    ]


def _timed(names: list[str], device: str) -> list[Choice]:
    """The networks with their latency on this machine; what has to be measured is announced."""
    from fathom.costs.latency import latencies
    from fathom.models.choose import Choice
    from fathom.models.registry import model_card
    from fathom.runtime import choose_runtime

    def tell(name: str, seconds: float) -> None:
        print(f"measured {name}: {seconds * 1e3:.1f} ms", file=sys.stderr)

    found = latencies(names, choose_runtime(device), told=tell)
    return [Choice(model_card(name), found[name]) for name in names]
