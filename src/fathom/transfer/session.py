"""From data and pretrained weights to the best run that the time allows: `transfer`.

One stream of records, as in training: what was measured, how the race went, what was chosen and
why, then the reports of the run itself. The run lies in the folder that was asked for, ready for
everything that takes a run; what was measured for it lies below, in `transfer/`.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fathom.data.catalog import open_catalog
from fathom.data.load import Dataset
from fathom.data.split import SplitCatalog, holding_out, split_catalog
from fathom.data.summary import Summary
from fathom.errors import require
from fathom.features.backbone import Backbone
from fathom.models.base import ImageClassifier
from fathom.preprocess import Preprocess
from fathom.recipes.fitting import mirrored
from fathom.runtime import choose_runtime
from fathom.training.recalibrate import batch_norms
from fathom.training.recipe import Recipe
from fathom.training.reports import Finished, Report
from fathom.training.run import TRANSFER, next_folder, refuse_used, write_json
from fathom.training.session import train
from fathom.training.setup import load_data
from fathom.training.trainer import Attendant
from fathom.transfer.decision import Candidate, Decision, Outcome, choose, expected_top1
from fathom.transfer.plan import Plan
from fathom.transfer.probe_run import checkpoint_of, write_probe
from fathom.transfer.race import for_race, num_judges, outcome, run_leg, thinned
from fathom.transfer.strategies import (
    TRAINING_PER_LOOK,
    Strategy,
    fitting_size,
    from_scratch,
    probing,
    tuning,
)
from fathom.transfer.survey import Asked, Survey, look_seconds, survey_of

_RACE = 0.03  # of all time, for each strategy that is trained in the race
TRAINED: tuple[Strategy, ...] = ("partial", "finetune", "scratch")
_SURVEY, _ALONE = 0.12, 0.75  # of all time, at most, for features; where a probe is all there is


@dataclass(frozen=True)
class Surveyed:
    """Features have been computed and the probe fitted for one pretrained network."""

    survey: Survey
    seconds: float


@dataclass(frozen=True)
class Raced:
    """A strategy has had its share of the race."""

    candidate: Candidate


@dataclass(frozen=True)
class Decided:
    """The choice, and all that led to it, which is stored in the folder; the run comes next."""

    decision: Decision
    folder: Path


Record = Surveyed | Raced | Decided | Report


def transfer(
    plan: Plan,
    *,
    out: str | Path | None = None,
    started: float | None = None,
    command: str | None = None,
    attendant: Attendant | None = None,
) -> Generator[Record, None, None]:
    """Measure, choose, and train; the last record is the `Finished` of the run, which attendant
    looks at where it is trained.

    Raises UserError for data, weights or settings that cannot be used, and for images that do not
    fit the weights.
    """
    session = Transfer.of(plan, "transfer", out, started, command)
    session.attendant = attendant
    yield from session.records()


@dataclass(frozen=True)
class Ground:
    """A pretrained network that has been surveyed: the probe's recipe, the data at its size, how
    many of its stages `partial` trains, and whether it has batch norms."""

    recipe: Recipe
    dataset: Dataset
    survey: Survey
    stages: int
    has_norms: bool


class Transfer:
    """One transfer on its way. attendant looks at the run that is kept, where it is trained."""

    def __init__(
        self,
        plan: Plan,
        chosen: SplitCatalog,
        folder: Path,
        started: float,
        command: str | None,
    ) -> None:
        self.plan, self.chosen, self.folder = plan, chosen, folder
        self.started, self.command = started, command
        self.deciding = plan.strategy == "auto"
        self.summary: Summary = chosen.catalog.summary()
        self.runtime = choose_runtime(plan.device)
        self.spent: dict[str, float] = {}
        self.attendant: Attendant | None = None

    @classmethod
    def of(
        cls,
        plan: Plan,
        what: str,
        out: str | Path | None,
        started: float | None = None,
        command: str | None = None,
    ) -> Transfer:
        """Open the data and split them; the folder is out, by default runs/DATA-what."""
        started = time.monotonic() if started is None else started
        if out is not None:
            refuse_used(Path(out))
            require(
                not (Path(out) / TRANSFER).exists(),
                f"{out} holds what a transfer measured that was stopped before it trained; remove "
                "it, or choose another with --out. Features that were computed are kept elsewhere",
            )
        data = plan.data.absolute()
        catalog = open_catalog(data)
        plan = replace(plan, data=holding_out(data, catalog))
        chosen = split_catalog(catalog, plan.data, choosing=True)
        folder = Path(out) if out else next_folder(f"{catalog.name}-{what}")
        return cls(plan, chosen, folder, started, command)

    @property
    def work(self) -> Path:
        """Where the measurements lie."""
        return self.folder / TRANSFER

    @property
    def num_val(self) -> int:
        """Validation images."""
        return len(self.chosen.catalog.splits["val"])

    def left(self) -> float:
        """Seconds that are left."""
        return self.plan.minutes * 60 - (time.monotonic() - self.started)

    def records(self) -> Iterator[Record]:
        """The whole of it."""
        if self.plan.strategy == "scratch":
            recipe = self.fresh(self.plan.minutes * 60)
            yield from self._train(recipe, started=self.started)
            return
        best = yield from self.surveys()
        if self.plan.strategy == "auto":
            yield from self._race(best)
        elif self.plan.strategy == "probe":
            yield self._keep_probe(best)
        else:
            start, _ = self.write_start(best, self._judges(best))
            yield from self._tune(best, self.plan.strategy, start)

    def surveys(self) -> Generator[Record, None, Ground]:
        """Probe every pretrained network; the best of them goes on."""
        found: list[Ground] = []
        most = _ALONE if self.plan.strategy == "probe" else _SURVEY
        share = most * self.plan.minutes * 60 / len(self.plan.backbones)
        for backbone in self.plan.backbones:
            before = time.monotonic()
            found.append(self.survey(backbone, share))
            seconds = time.monotonic() - before
            self.spent[f"features of {backbone.label}"] = seconds
            yield Surveyed(found[-1].survey, seconds)
        return max(found, key=lambda one: one.survey.top1)

    def survey(self, backbone: Backbone, seconds: float) -> Ground:
        own, model = backbone.found().preprocess, backbone.build()
        stages = self._stages(backbone, model)
        look = look_seconds(model, own, self.runtime)
        size = self.plan.image_size or self._size(own, look)
        recipe = probing(
            self.plan.data,
            backbone,
            self.summary,
            image_size=size,
            seed=self.plan.seed,
            device=self.plan.device,
        )
        dataset = load_data(recipe, own, chosen=self.chosen)
        look *= (size / own.image_size) ** 2
        most = _ALONE * self.left() - len(dataset.splits[dataset.judge].images) * look
        asked = Asked(
            seed=self.plan.seed,
            deadline=time.monotonic() + max(0.0, min(seconds, most)),
            flip=mirrored(self.summary),
            trust_images=self.plan.trust_images,
            deciding=self.deciding,
            cache=self.plan.cache,
            workers=self.plan.data.workers,
        )
        result = survey_of(backbone, model, dataset, asked, runtime=self.runtime)
        return Ground(recipe, dataset, result, stages, bool(batch_norms(model)))

    def _stages(self, backbone: Backbone, model: ImageClassifier) -> int:
        """How many stages `partial` trains."""
        most = len(model.stages) - 1
        stages = self.plan.stages or max(1, min(2, most))
        require(
            stages <= most or self.plan.strategy not in ("partial", "auto"),
            f"stages is {stages}, and {backbone.name} has {most + 1} stages; train fewer of them, "
            "or all with --strategy finetune",
        )
        return stages

    def _size(self, own: Preprocess, look: float) -> int:
        """The image size that the time allows, where a look at the weights' own takes so long."""
        images = len(self.chosen.catalog.splits["train"])
        left = 0.6 * self.left()
        if self.plan.strategy == "probe":  # one pass, of each of the networks
            seconds = left / len(self.plan.backbones)
            return fitting_size(
                own, num_train=images, seconds=seconds, image_seconds=look, passes=1.0
            )
        step = TRAINING_PER_LOOK * look
        return fitting_size(own, num_train=images, seconds=left, image_seconds=step)

    def write_start(self, best: Ground, judges: int) -> tuple[Path, Finished]:
        """The probe as a run, from whose weights others start, judged by so many images."""
        folder = self.work / "probe"
        judged = for_race(best.dataset, self.plan.seed, judges)
        done = write_probe(folder, best.recipe, judged, best.survey.probe, started=self.started)
        return checkpoint_of(folder), done

    def _keep_probe(self, best: Ground) -> Finished:
        return write_probe(
            self.folder,
            best.recipe,
            best.dataset,
            best.survey.final_probe(with_val=best.dataset.judge != "val", seed=self.plan.seed),
            started=self.started,
            command=self.command,
        )

    def tuning(
        self, best: Ground, strategy: Strategy, start: Path, seconds: float, *, total: float
    ) -> Recipe:
        """The recipe for so many seconds, of the total that the strategy has by and by."""
        step = TRAINING_PER_LOOK * best.survey.image_seconds
        return tuning(
            best.recipe,
            self.summary,
            start=start,
            minutes=seconds / 60,
            passes=total / (step * len(best.dataset.splits["train"].images)),
            visits=seconds / step,
            num_val=self.num_val,
            has_norms=best.has_norms,
            stages=best.stages if strategy == "partial" else None,
        )

    def fresh(self, seconds: float, *, start: Path | None = None) -> Recipe:
        """The recipe of training from scratch, or on from a race of it."""
        return from_scratch(
            self.plan.data,
            self.summary,
            minutes=seconds / 60,
            num_val=self.num_val,
            seed=self.plan.seed,
            device=self.plan.device,
            start=start,
        )

    def _tune(self, best: Ground, strategy: Strategy, start: Path) -> Iterator[Record]:
        left = max(self.left(), 1.0)
        recipe = self.tuning(best, strategy, start, left, total=left)
        yield from self._train(recipe, dataset=best.dataset)

    def _train(
        self, recipe: Recipe, *, started: float | None = None, dataset: Dataset | None = None
    ) -> Iterator[Report]:
        """The run that is kept."""
        yield from train(
            recipe,
            out=self.folder,
            started=started,
            command=self.command,
            dataset=dataset,
            attendant=self.attendant,
        )

    def _share(self) -> float:
        """Seconds that every strategy which is trained has in the race."""
        return _RACE * self.plan.minutes * 60

    def _judges(self, best: Ground) -> int:
        """Validation images that judge the race."""
        return num_judges(self._share(), best.survey.image_seconds)

    def _legs(self, best: Ground, starts: dict[Strategy, Path]) -> Iterator[Outcome]:
        """Give every strategy the same short time; starts takes where each of them goes on: where
        it stands, or where it came from if it is below that, as after so few steps it may be."""
        share, judges, seed = self._share(), self._judges(best), self.plan.seed
        own = for_race(best.dataset, seed, judges)
        starts["probe"], probed = self.write_start(best, judges)
        before = outcome("probe", probed, best.survey.seconds, 0, 0.0)
        yield before
        for strategy in TRAINED:
            began = time.monotonic()
            if strategy == "scratch":
                usual, recipe = 0.0, self.fresh(share)
                few = thinned(self.chosen, share, seed, judges)
                data = for_race(load_data(recipe, None, chosen=few), seed, judges)
            else:
                start, data = starts["probe"], own
                usual = 1 / (TRAINING_PER_LOOK * best.survey.image_seconds)
                recipe = self.tuning(best, strategy, start, share, total=self.left())
            place = self.work / strategy
            raced = run_leg(strategy, recipe, data, place, share, usual=usual)
            below = strategy != "scratch" and raced.right < before.right
            starts[strategy] = starts["probe"] if below else checkpoint_of(place)
            yield raced
            self.spent[f"race: {strategy}"] = time.monotonic() - began

    def _race(self, best: Ground) -> Iterator[Record]:
        """Let them race, choose, and go on where the best one stands."""
        starts: dict[Strategy, Path] = {}
        outcomes = list(self._legs(best, starts))
        left, domain = self._training_left(best), best.survey.domain
        candidates = []
        for raced in outcomes:
            expected = expected_top1(
                raced,
                probe=outcomes[0],
                probe_top1=best.survey.top1,
                far=domain is not None and domain.reading == "far",
                left=left,
                images=len(best.dataset.splits["train"].images),
            )
            label = None if raced.strategy == "scratch" else best.survey.backbone.label
            candidates.append(Candidate(raced, label, expected))
            yield Raced(candidates[-1])
        decision = self._decided(best, candidates)
        yield Decided(decision, self.work)
        winner = decision.chosen.strategy
        if winner == "probe":
            yield self._keep_probe(best)
        elif winner == "scratch":
            recipe = self.fresh(max(self.left(), 1.0), start=starts[winner])
            yield from self._train(recipe)
        else:
            yield from self._tune(best, winner, starts[winner])

    def _training_left(self, best: Ground) -> float:
        """Seconds that are left for steps, less what judging will take at the end."""
        splits = {"val", best.dataset.judge}
        judged = sum(len(best.dataset.splits[split].images) for split in splits)
        return max(self.left() - judged * best.survey.image_seconds, 1.0)

    def _decided(self, best: Ground, candidates: Sequence[Candidate]) -> Decision:
        decision = Decision(
            chosen=choose(candidates),
            candidates=tuple(candidates),
            num_train=len(best.dataset.splits["train"].images),
            num_classes=len(best.dataset.class_names),
            image_size=best.recipe.image_size,
            domain=best.survey.domain,
            learning=best.survey.learning,
            seconds=dict(self.spent),
            minutes=self.plan.minutes,
        )
        write_json(self.work / "decision.json", decision.to_dict())
        return decision
