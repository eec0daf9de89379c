"""Weight decay towards pretrained weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import fathom
from fathom.errors import UserError
from fathom.models.base import ImageClassifier
from fathom.training.anchor import Anchor
from fathom.training.choices import SGD, AdamW, Constant, ScheduleFreeSGD
from fathom.training.optim import build_optimizer, parameter_groups
from fathom.training.recipe import ModelSettings, Recipe
from fathom.training.reports import Finished
from tests.training.test_setup import frozen as frozen
from tests.training.test_trainer import tiny


def network() -> ImageClassifier:
    torch.manual_seed(0)
    return fathom.create_model("resnet18", **tiny().model.spec)


@pytest.mark.parametrize("settings", [SGD(lr=0.1, weight_decay=0.0), AdamW(lr=0.1)])
def test_without_gradients_weights_fall_back_by_lr_times_strength(settings: SGD | AdamW) -> None:
    model = network()
    anchor = Anchor(model, 0.5)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = build_optimizer(model, settings, anchor=anchor)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    anchor.pull(optimizer)
    for name, parameter in model.named_parameters():
        left = 1 - 0.1 * 0.5 if name in anchor.start else 1
        torch.testing.assert_close(parameter - start[name], torch.full_like(parameter, left))


def test_the_classifier_norms_and_biases_are_not_held_and_what_is_held_does_not_decay() -> None:
    model = network()
    anchor = Anchor(model, 0.1)
    held = set(anchor.start)
    expected = {n for n, p in model.named_parameters() if p.ndim > 1 and not n.startswith("head")}
    assert held == expected
    for group in parameter_groups(model, SGD(), anchor=anchor):
        assert not (group["weight_decay"] and any(map(anchor.holds, group["params"])))
    decayed = [
        p
        for group in parameter_groups(model, SGD(), anchor=anchor)
        if group["weight_decay"]
        for p in group["params"]
    ]
    assert len(decayed) == 1, "the classifier's matrix, which is new, decays to zero"


def test_a_pulled_run_ends_nearer_to_its_weights_and_resumes_bit_for_bit(
    frozen: Recipe, tmp_path: Path
) -> None:
    start = fathom.create_model("resnet18", weights=frozen.model.weights, **frozen.model.spec)

    def away(run: Path) -> float:
        now = fathom.load(run).model.state_dict()
        names = Anchor(start, 1.0).start
        return sum(float((now[n] - v).norm()) for n, v in names.items())

    free = replace(frozen, steps=6, optimizer=SGD(lr=0.1, weight_decay=0.0))
    pulled = replace(free, l2_sp=3.0)
    list(fathom.train(free, out=tmp_path / "free"))
    whole = list(fathom.train(pulled, out=tmp_path / "pulled"))[-1]
    assert away(tmp_path / "pulled") < 0.8 * away(tmp_path / "free")
    stream = fathom.train(pulled, out=tmp_path / "left")
    for _ in range(3):
        next(stream)
    stream.close()
    last = list(fathom.resume(tmp_path / "left"))[-1]
    assert isinstance(whole, Finished)
    assert isinstance(last, Finished)
    assert last.weights_sha256 == whole.weights_sha256


def test_what_has_no_effect_is_refused(frozen: Recipe) -> None:
    fresh = ModelSettings("resnet18", frozen.model.spec)
    with pytest.raises(UserError, match="l2_sp pulls weights back to pretrained ones"):
        replace(frozen, model=fresh, l2_sp=0.1)
    with pytest.raises(UserError, match=r"use 0 .off. or more"):
        replace(frozen, l2_sp=-1.0)
    with pytest.raises(UserError, match="schedule_free_sgd averages"):
        replace(frozen, l2_sp=0.1, optimizer=ScheduleFreeSGD(), schedule=Constant(), ema=None)
