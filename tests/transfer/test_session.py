"""From data and weights to a run, by every strategy, with a small network that knows digits."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import fathom
from fathom.data.settings import DataSettings
from fathom.errors import UserError
from fathom.features.backbone import find_backbones
from fathom.models.base import ImageClassifier
from fathom.report import write_report
from fathom.training.checkpoint import load_checkpoint
from fathom.training.reports import Finished, StepReport
from fathom.training.run import Run
from fathom.transfer.plan import Plan
from fathom.transfer.probe_run import checkpoint_of
from fathom.transfer.session import Decided, Raced, Surveyed, transfer
from tests.training.test_trainer import tiny


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The checkpoint of a run that has learnt digits a little."""
    out = tmp_path_factory.mktemp("weights") / "run"
    list(fathom.train(replace(tiny(), steps=30), out=out))
    return str(checkpoint_of(out))


def plan(weights: str, **settings: object) -> Plan:
    given = {"minutes": 0.1, "image_size": 8, "cache": False, **settings}
    return Plan(DataSettings(source="digits"), find_backbones(weights), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", ["probe", "finetune", "partial", "scratch"])
def test_every_strategy_ends_in_an_ordinary_run(
    weights: str, tmp_path: Path, strategy: str
) -> None:
    out = tmp_path / "run"
    pretrained = {} if strategy != "scratch" else {"image_size": None, "cache": True}
    given = plan(weights, strategy=strategy, stages=1, **pretrained)
    records = list(transfer(given, out=out))
    done = records[-1]
    assert isinstance(done, Finished)
    assert (sum(isinstance(r, Surveyed) for r in records) == 1) == (strategy != "scratch")
    again, bad = fathom.load(out).evaluate()
    assert not bad
    assert again.top1 == done.evaluation.top1
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    assert len(fathom.load(out).predict([image])[0].top) == 5
    report = write_report(out).read_text(encoding="utf-8")
    assert ('id="probe"' in report) == (strategy == "probe")
    assert ('id="training"' in report) == (strategy != "probe"), "a probe has no curves"
    assert ("optimizer.lr" in report) == (strategy != "probe"), "nor an optimizer"
    if strategy != "scratch":
        assert done.evaluation.top1 > 0.5


def test_the_kept_stages_are_those_of_the_weights(weights: str, tmp_path: Path) -> None:
    done = list(transfer(plan(weights, strategy="partial", stages=1), out=tmp_path / "run"))[-1]
    assert isinstance(done, Finished)
    before = load_checkpoint(Path(weights).parent, "last").weights()
    after = load_checkpoint(tmp_path / "run" / "checkpoints", "last").weights()
    network = fathom.load(tmp_path / "run").model
    assert isinstance(network, ImageClassifier)
    stages = len(network.stages)
    for name, value in after.items():
        if name.startswith(("stem.", *(f"stages.{i}." for i in range(stages - 1)))):
            assert torch.equal(value, before[name]), name


def test_auto_races_all_four_tells_why_and_goes_on_with_one(weights: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    records = list(transfer(plan(weights, minutes=0.15), out=out))
    raced = [r.candidate for r in records if isinstance(r, Raced)]
    assert [c.strategy for c in raced] == ["probe", "partial", "finetune", "scratch"]
    assert len({c.raced.num_images for c in raced}) == 1, "all on the same images"
    (decided,) = [r.decision for r in records if isinstance(r, Decided)]
    assert decided.chosen.expected == max(c.expected for c in raced)
    stored = json.loads((out / "transfer" / "decision.json").read_text())
    assert stored["chosen"]["strategy"] == decided.chosen.strategy
    assert isinstance(records[-1], Finished)
    assert records[-1].evaluation.top1 >= decided.chosen.top1 - 0.1
    assert fathom.load(out).evaluate()[0].top1 == records[-1].evaluation.top1


def test_the_probe_gives_the_logits_that_were_fitted(weights: str, tmp_path: Path) -> None:
    records = list(transfer(plan(weights, strategy="probe"), out=tmp_path / "run"))
    (found,) = [r.survey for r in records if isinstance(r, Surveyed)]
    model = fathom.load(tmp_path / "run").model
    assert isinstance(model, ImageClassifier)
    with torch.no_grad():
        logits = model.classifiers()[0](found.val.values)
    torch.testing.assert_close(logits, found.probe.logits(found.val.values), atol=1e-4, rtol=1e-4)
    done = records[-1]
    assert isinstance(done, Finished)
    right = logits.argmax(1) == found.val.targets
    assert done.evaluation.top1 == pytest.approx(float(right.float().mean()), abs=0.003)


def test_what_cannot_be_used_is_refused_before_anything_is_written(
    weights: str, tmp_path: Path
) -> None:
    for settings, message in (
        ({"minutes": 0.0}, "it must be above 0"),
        ({"stages": 0}, "train the last stage at least"),
        ({"strategy": "scratch"}, "image_size, no_cache: without effect on training from scratch"),
        ({"strategy": "partial", "stages": 99}, "stages is 99, and resnet18 has 2 stages"),
    ):
        with pytest.raises(UserError, match=message):
            list(transfer(plan(weights, **settings), out=tmp_path / "run"))
        assert not (tmp_path / "run" / "recipe.json").exists()


def test_what_a_stopped_race_left_is_not_written_over(weights: str, tmp_path: Path) -> None:
    (tmp_path / "run" / "transfer" / "probe").mkdir(parents=True)
    with pytest.raises(UserError, match="stopped before it trained; remove it, or choose another"):
        list(transfer(plan(weights), out=tmp_path / "run"))


def write_digits(folder: Path, roles: dict[str, slice]) -> Path:
    """Some of each digit as files of folders ROLE/DIGIT; its places among all of that digit."""
    digits = load_digits()
    for target in range(10):
        places = (digits.target == target).nonzero()[0]
        for role, chosen in roles.items():
            for number, place in enumerate(places[chosen]):
                file = folder / role / str(target) / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray((digits.images[place] * 15).astype("uint8")).save(file)
    return folder


def test_a_stopped_run_of_train_and_test_images_goes_on(weights: str, tmp_path: Path) -> None:
    """What was held out to choose a strategy is held out again, though the last weights count."""
    data = write_digits(tmp_path / "data", {"train": slice(40), "test": slice(40, 50)})
    given = replace(
        plan(weights, strategy="finetune", minutes=0.2), data=DataSettings(source=str(data))
    )
    with closing(transfer(given, out=tmp_path / "run")) as records:
        for record in records:
            if isinstance(record, StepReport):
                break
    assert Run.open(tmp_path / "run").recipe().select == "last"
    done = list(fathom.resume(tmp_path / "run"))[-1]
    assert isinstance(done, Finished)
    assert done.evaluation.split == "test"
    assert fathom.load(tmp_path / "run").evaluate()[0].top1 == done.evaluation.top1


def test_a_network_without_batch_norm_is_tuned(tmp_path: Path) -> None:
    list(fathom.train(tiny("group"), out=tmp_path / "before"))
    own = str(checkpoint_of(tmp_path / "before"))
    done = list(transfer(plan(own, strategy="finetune"), out=tmp_path / "run"))[-1]
    assert isinstance(done, Finished)
    assert done.steps > 0


def test_files_left_out_and_what_is_assumed_are_told(weights: str, tmp_path: Path) -> None:
    data = write_digits(tmp_path / "data", {".": slice(12)})
    (data / "3" / "broken.png").write_text("no image")
    given = replace(plan(weights, strategy="probe"), data=DataSettings(source=str(data)))
    (found,) = [
        record.survey
        for record in transfer(given, out=tmp_path / "run")
        if isinstance(record, Surveyed)
    ]
    assert [bad.name for bad in found.bad] == ["3/broken.png"]


@pytest.mark.parametrize("strategy", ["auto", "probe"])
def test_two_images_a_class_are_enough(weights: str, tmp_path: Path, strategy: str) -> None:
    """One of them trains and one judges; nothing can be cross-validated, and no curve is drawn."""
    data = DataSettings(source=str(write_digits(tmp_path / "few", {".": slice(2)})))
    few = replace(plan(weights, strategy=strategy), data=data)
    records = list(transfer(few, out=tmp_path / "run"))
    done = records[-1]
    assert isinstance(done, Finished)
    assert done.evaluation.num_images == 10
    for record in records:
        if isinstance(record, Surveyed):
            assert record.survey.learning is None
        if isinstance(record, Decided):
            assert "too few images to tell" in " ".join(record.decision.sentences())
