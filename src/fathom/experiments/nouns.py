"""The nouns of an experiment: what is compared, what one cell measures, what it comes to.

Free of PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fathom.data.settings import DataSettings
from fathom.data.summary import Summary
from fathom.figures.charts import Chart, chart_to_dict
from fathom.spread import Spread, paired, spread
from fathom.training.recipe import Recipe

if TYPE_CHECKING:
    from fathom.experiments.cell import Cell
    from fathom.models.base import ImageClassifier
    from fathom.training.reports import StepReport

Values = dict[str, Any]
Outcome = Literal["demonstrated", "not-reproduced"]


@dataclass(frozen=True)
class Setting:
    """What an experiment is made for: data, what is known of them, and how much it may take.

    quick asks for the smallest form that still goes through every line. weights names pretrained
    ones, for the experiments that use some.
    """

    data: DataSettings
    summary: Summary
    quick: bool = False
    weights: str | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Arm:
    """One network or treatment that is compared. recipe says how it is trained, None where nothing
    is; its length and seed are set by the session, the same for all arms.

    settings are for the experiment's own use in `measure`. prepare changes the fresh network before
    its training, in what no recipe says.
    """

    name: str
    recipe: Recipe | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[ImageClassifier], None] | None = None


@dataclass(frozen=True)
class Judged:
    """An experiment's verdict on a row of the ledger, with the values it rests on."""

    verdict: Outcome
    computed: Mapping[str, Any]
    explanation: str


@dataclass(frozen=True)
class Findings:
    """What the numbers say: sentences, verdicts by the claim's id, and charts, the first of which
    stands for the experiment."""

    sentences: tuple[str, ...]
    charts: tuple[Chart, ...]
    verdicts: Mapping[str, Judged] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "sentences": list(self.sentences),
            "charts": [chart_to_dict(chart) for chart in self.charts],
            "verdicts": {name: asdict(judged) for name, judged in self.verdicts.items()},
        }


@dataclass(frozen=True)
class Results:
    """The values of all cells, by arm and seed, and what they were measured on.

    setting holds what stands in every caption: data, images, image_size, steps, epochs, batch_size,
    seeds, machine, versions, date, command.
    """

    name: str
    cells: Mapping[str, Mapping[int, Values]]
    setting: Mapping[str, Any]

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms in their order."""
        return tuple(self.cells)

    def values(self, arm: str, key: str) -> list[Any]:
        """A value of an arm, one a seed, in the order of the seeds."""
        return [self.cells[arm][seed][key] for seed in sorted(self.cells[arm])]

    def spread(self, arm: str, key: str) -> Spread:
        """Mean and 95 % interval of a number over the seeds."""
        return spread([float(value) for value in self.values(arm, key)])

    def difference(self, one: str, other: str, key: str) -> Spread:
        """one - other, in pairs of one seed."""
        return paired(
            [float(value) for value in self.values(one, key)],
            [float(value) for value in self.values(other, key)],
        )

    @property
    def caption(self) -> str:
        """Data, size, length and seeds in a sentence, for every chart."""
        told = [str(self.setting["data"])]
        if self.setting.get("images"):
            told.append(f"{self.setting['images']:,} training images")
        if self.setting.get("image_size"):
            told.append(f"{self.setting['image_size']} pixels")
        if self.setting.get("steps"):
            told.append(
                f"{self.setting['steps']:,} steps of {self.setting['batch_size']} images "
                f"({self.setting['epochs']:.3g} epochs)"
            )
        seeds = len(self.setting["seeds"])
        told.append(f"{seeds} seed{'' if seeds == 1 else 's'}")
        return f"{', '.join(told)}."


@dataclass(frozen=True)
class Experiment:
    """Something that is asked of networks, and how it is answered.

    title: a question. expected: written before anybody looked. measure: what one cell (an arm and a
    seed) is measured by, after its training if its arm has a recipe; plain JSON values. findings:
    what the values of all cells come to, from nothing but them. watch: looks at the network after
    each training step; what it gathers belongs to the cell. claims: rows of the ledger that take
    their verdict from here.

    Where several arms are trained, all take the same steps.
    """

    title: str
    expected: str
    arms: Sequence[Arm]
    measure: Callable[[Cell], Values]
    findings: Callable[[Results], Findings]
    watch: Callable[[Cell, StepReport], None] | None = None
    claims: tuple[str, ...] = ()
