"""How long the networks of the zoo take for one image on this machine, measured once and kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from fathom.costs.measure import speed
from fathom.models.registry import build_model, model_card
from fathom.runtime import Runtime, configured


def cache_file() -> Path:
    """Where measured latencies lie: latency.json in the user's cache folder for Fathom."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "fathom" / "latency.json"


def latencies(
    names: Sequence[str], runtime: Runtime, *, told: Callable[[str, float], None] | None = None
) -> dict[str, float]:
    """Median seconds of an evaluation pass of one image, of each network at its own image size.

    What was measured before on this machine, with this version of PyTorch and as many threads, is
    taken from the cache; told hears of every new measurement. Weights are random: they change
    nothing here, as long as no number is denormal.
    """
    path, kept = cache_file(), _kept()
    mine = kept.setdefault(_key(runtime), {})
    with configured(runtime):
        for name in names:
            if name in mine:
                continue
            mine[name] = _measure(name, runtime)
            if told is not None:
                told(name, mine[name])
            _store(path, kept)
    return {name: mine[name] for name in names}


def remembered(runtime: Runtime) -> dict[str, float]:
    """The latencies that were measured here before, by network; nothing is measured now."""
    return _kept().get(_key(runtime), {})


def _key(runtime: Runtime) -> str:
    return f"{runtime.describe()}, torch {torch.__version__}"


def _kept() -> dict[str, dict[str, float]]:
    try:
        found: dict[str, dict[str, float]] = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _measure(name: str, runtime: Runtime) -> float:
    card = model_card(name)
    model = build_model(name).to(runtime.device).to(memory_format=torch.channels_last)
    shape = (1, card.in_channels, card.image_size, card.image_size)
    return speed(model, shape, runtime, flops=card.flops, rate=1.0).seconds


def _store(path: Path, values: object) -> None:
    """Written beside and renamed; a cache that cannot be written is done without."""
    beside = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(values, indent=1), encoding="utf-8")
        beside.replace(path)
    except OSError:
        return
