"""What is refused before anything is written, and what frozen norms leave alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import fathom
from fathom.errors import UserError
from fathom.report import write_report
from fathom.training.checkpoint import load_checkpoint
from fathom.training.choices import SGD, CrossEntropy
from fathom.training.recalibrate import batch_norms
from fathom.training.recipe import ModelSettings, Progressive, Recipe
from fathom.training.reports import Finished
from fathom.training.setup import Setup
from tests.training.test_trainer import tiny


@pytest.fixture
def frozen(tmp_path: Path) -> Recipe:
    """A run from a file of weights whose norms have lived, and stay as they are."""
    recipe = replace(tiny(), steps=3, optimizer=SGD(lr=0.5))
    model = fathom.create_model("resnet18", **recipe.model.spec)
    model(torch.randn(8, 3, 8, 8) + 1)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    spec, file = recipe.model.spec, str(tmp_path / "w.safetensors")
    return replace(recipe, model=ModelSettings("resnet18", spec, file, frozen_norms=True))


def test_frozen_norms_stay_as_the_weights_brought_them(frozen: Recipe, tmp_path: Path) -> None:
    done = list(fathom.train(frozen, out=tmp_path / "run"))[-1]
    assert isinstance(done, Finished)
    after = load_checkpoint(tmp_path / "run" / "checkpoints", "last").weights()
    before = load_checkpoint(tmp_path / "run" / "checkpoints", "previous").weights()
    norms = {k.rpartition(".")[0] for k in after if k.endswith("running_mean")}
    assert len(norms) == 6
    for key, value in after.items():
        same = torch.equal(value, before[key])
        assert same == (key.rpartition(".")[0] in norms), key
    loaded, _ = fathom.load(tmp_path / "run").evaluate()
    assert loaded.top1 == done.evaluation.top1


def test_frozen_norms_stay_frozen_when_a_run_is_resumed(frozen: Recipe, tmp_path: Path) -> None:
    whole = list(fathom.train(frozen, out=tmp_path / "whole"))[-1]
    stream = fathom.train(frozen, out=tmp_path / "left")
    next(stream)
    next(stream)
    stream.close()
    last = list(fathom.resume(tmp_path / "left"))[-1]
    assert isinstance(last, Finished)
    assert isinstance(whole, Finished)
    assert last.weights_sha256 == whole.weights_sha256


def test_settings_that_a_network_leaves_idle_are_refused(frozen: Recipe, tmp_path: Path) -> None:
    group = {**frozen.model.spec, "norm": "group"}
    model = fathom.create_model("resnet18", **group)
    save_file(model.state_dict(), tmp_path / "group.safetensors")
    file = str(tmp_path / "group.safetensors")
    without = ModelSettings("resnet18", group, file, frozen_norms=True)
    for recipe, message in (
        (replace(frozen, model=without), "frozen_norms has no effect: resnet18 has no batch norm"),
        (tiny("group", recalibrate=2), "recalibrate=2 has no effect"),
        (replace(frozen, recalibrate=2), "no batch norm whose statistics are learnt"),
        (tiny(progressive=Progressive(start=0.9)), "progressive.start 0.9 has no effect"),
    ):
        with pytest.raises(UserError, match=message):
            list(fathom.train(recipe, out=tmp_path / "run"))
        assert not (tmp_path / "run").exists()


def test_balanced_weights_come_from_the_training_images() -> None:
    setup = Setup.of(tiny(loss=CrossEntropy(class_weights="balanced")))
    counts = torch.tensor(setup.dataset.counts("train"))
    assert setup.class_weights is not None
    torch.testing.assert_close(setup.class_weights * counts * 10, counts.sum().expand(10).float())
    assert Setup.of(tiny()).class_weights is None


def test_pretrained_weights_decide_the_channels(frozen: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.channels is 1, but the pretrained weights see 3"):
        Setup.of(replace(frozen, data=replace(frozen.data, channels=1)))


def test_convolutions_that_pytorch_gets_wrong_are_refused() -> None:
    recipe = tiny()
    narrow = replace(
        recipe, model=ModelSettings("resnet18", {**recipe.model.spec, "widths": [4, 8]})
    )
    with pytest.raises(UserError, match="set channels_last=false"):
        Setup.of(replace(narrow, device="cpu"))
    Setup.of(replace(narrow, device="cpu", channels_last=False))


@pytest.mark.parametrize("last", [0, 1])
def test_only_the_last_stages_and_the_head_are_trained(
    frozen: Recipe, tmp_path: Path, last: int
) -> None:
    settings = replace(frozen.model, frozen_norms=False, trained_stages=last)
    recipe = replace(frozen, model=settings, ema=0.9)
    whole = list(fathom.train(recipe, out=tmp_path / "run"))[-1]
    after = load_checkpoint(tmp_path / "run" / "checkpoints", "last").part("model")
    before = load_checkpoint(tmp_path / "run" / "checkpoints", "previous").part("model")
    stages = len(fathom.create_model("resnet18", **recipe.model.spec).stages)
    trained = ("head.", *(f"stages.{i}." for i in range(stages - last, stages)))
    for key, value in after.items():
        same = torch.equal(value, before[key])
        assert same == (not key.startswith(trained)), key
    stream = fathom.train(recipe, out=tmp_path / "left")
    next(stream)
    next(stream)
    stream.close()
    end = list(fathom.resume(tmp_path / "left"))[-1]
    assert isinstance(whole, Finished)
    assert isinstance(end, Finished)
    assert end.weights_sha256 == whole.weights_sha256


def test_stages_that_are_kept_draw_nothing_and_have_no_statistics_to_measure(
    frozen: Recipe,
) -> None:
    model = fathom.create_model("resnet18", **frozen.model.spec)
    before = len(batch_norms(model))
    model.train_last(1)
    model.train()
    assert not any(module.training for part in model.kept for module in part.modules())
    assert 0 < len(batch_norms(model)) < before
    stages = len(model.stages)
    settings = replace(frozen.model, trained_stages=stages)
    with pytest.raises(UserError, match=f"has {stages} stages"):
        Setup.of(replace(frozen, model=settings))
    with pytest.raises(UserError, match=r"use 0 .the head alone. or more"):
        replace(frozen.model, trained_stages=-1)
    with pytest.raises(UserError, match=r"set model.weights"):
        ModelSettings("resnet18", trained_stages=1)


def test_a_loaded_data_set_is_taken_as_it_is(frozen: Recipe) -> None:
    loaded = Setup.of(frozen).dataset
    assert Setup.of(frozen, dataset=loaded).dataset is loaded


def test_weights_that_know_the_classes_stay_unless_training_brings_better_ones(
    tmp_path: Path,
) -> None:
    """Ruined by an absurd learning rate, a run still ends with the weights it began with."""
    good = replace(tiny(), epochs=3, steps=None)
    first = list(fathom.train(good, out=tmp_path / "good"))[-1]
    assert isinstance(first, Finished)
    weights = str(next((tmp_path / "good" / "checkpoints").glob("last-*.safetensors")))
    settings = ModelSettings("resnet18", good.model.spec, weights)
    ruined = replace(good, model=settings, optimizer=SGD(lr=50.0), clip_norm=1.0, select="best")
    last = list(fathom.train(ruined, out=tmp_path / "ruined"))[-1]
    assert isinstance(last, Finished)
    assert last.evaluation.top1 == first.evaluation.top1
    assert last.weights_sha256 == first.weights_sha256
    best = load_checkpoint(tmp_path / "ruined" / "checkpoints", "best").state["best"]
    assert best["epoch"] == -1
    write_report(tmp_path / "ruined")
