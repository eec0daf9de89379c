"""From what a user asks for to a setting and a plan."""

from __future__ import annotations

from fathom.data.catalog import open_catalog
from fathom.data.settings import DataSettings
from fathom.errors import require
from fathom.experiments.nouns import Setting
from fathom.experiments.plan import Plan
from fathom.experiments.registry import known_experiment

QUICK_STEPS, QUICK_SEEDS, QUICK_IMAGES = 4, 2, 200


def make_setting(
    data: str | DataSettings = "digits",
    *,
    quick: bool = False,
    weights: str | None = None,
    device: str = "auto",
) -> Setting:
    """A look at the data. Raises UserError for data that cannot be used."""
    settings = DataSettings(source=data) if isinstance(data, str) else data
    settings = settings.absolute()
    return Setting(settings, open_catalog(settings).summary(), quick, weights, device)


def make_plan(
    name: str,
    setting: Setting,
    *,
    seeds: int | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    images: int | None = None,
    command: str | None = None,
) -> Plan:
    """The plan of an experiment: three seeds and its own minutes where nobody says otherwise; a
    quick one has two seeds, four steps and 200 training images.

    Raises UserError for an unknown name and for settings without effect.
    """
    known = known_experiment(name)
    require(
        minutes is None or steps is None,
        "minutes and steps both say how long to train; give one of them",
    )
    require(
        not setting.quick or (minutes is None and steps is None),
        "quick takes four steps; leave out minutes and steps",
    )
    require(
        setting.weights is None or known.weights,
        f"weights have no effect on {name}, which uses no pretrained ones; leave them out",
    )
    trains = known.minutes is not None
    require(
        trains or (minutes is None and steps is None and images is None),
        f"{name} says itself what it trains and on what, so minutes, steps and images have no "
        "effect; leave them out",
    )
    if trains and setting.quick:
        steps = QUICK_STEPS
    elif trains and steps is None and minutes is None:
        minutes = known.minutes
    count = (QUICK_SEEDS if setting.quick else 3) if seeds is None else seeds
    least = 2 * setting.summary.num_classes
    if images is None and setting.quick and trains:
        images = max(least, min(QUICK_IMAGES, setting.summary.num_train))
    return Plan(
        name=name,
        setting=setting,
        seeds=tuple(range(count)),
        minutes=minutes,
        steps=steps,
        images=images,
        command=command,
    )
