"""Each test of the pre-flight names what is sick and passes what is well."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fathom.data.order import Order
from fathom.doctor.preflight import (
    Ground,
    in_optimizer,
    inputs,
    learn_by_heart,
    learning,
    length,
    modes,
    preflight,
    room,
    start_of_loss,
)
from fathom.doctor.preflight_data import (
    blank_images,
    class_counts,
    duplicates,
    fit_of_weights,
    labels_of_images,
    sample,
)
from fathom.features.backbone import find_backbones
from fathom.models.base import ImageClassifier
from tests.images import array_catalog, encode, loaded, noise, write, write_tree
from tests.training.test_trainer import tiny
from tests.transfer.test_session import weights

__all__ = ["weights"]


@pytest.fixture
def ground() -> Ground:
    return Ground.of(tiny())


def test_a_sound_recipe_passes_every_test_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = torch.get_rng_state()
    found = list(preflight(tiny()))
    assert {r.name: r.passed for r in found} == {r.name: True for r in found}
    assert len(found) == len({r.name for r in found}) == 11
    assert torch.equal(torch.get_rng_state(), before)
    assert not list(tmp_path.iterdir())
    assert all(line.startswith("ok") for r in found for line in r.lines())


def test_inputs_of_another_range_are_named(ground: Ground) -> None:
    assert inputs(ground).passed
    for images in (ground.batch.images * 10, ground.batch.images + 2, ground.batch.images * 0):
        result = inputs(replace(ground, batch=replace(ground.batch, images=images)))
        assert result.passed is False
        assert [line.split()[0] for line in result.lines()] == ["WRONG", "do:"]


def test_parameters_that_the_optimizer_lacks_are_counted(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_optimizer(ground.setup).passed
    head = ground.setup.model.head[-1]

    def without_head(model: nn.Module, *_: object, **__: object) -> torch.optim.Optimizer:
        kept = {id(p) for p in head.parameters()}
        return torch.optim.SGD([p for p in model.parameters() if id(p) not in kept], lr=0.1)

    monkeypatch.setattr("fathom.doctor.preflight.build_optimizer", without_head)
    result = in_optimizer(ground.setup)
    assert result.passed is False
    every = sum(p.numel() for p in ground.setup.model.parameters())
    assert f"{every - 170:,} of {every:,}" in result.measured  # 16 features and a bias, 10 classes


def test_evaluation_by_batch_statistics_is_named(ground: Ground) -> None:
    state = {k: v.clone() for k, v in ground.setup.model.state_dict().items()}
    assert modes(ground).passed
    for name, value in ground.setup.model.state_dict().items():
        assert torch.equal(value, state[name]), name
    for module in ground.setup.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    assert modes(ground).passed is False


def test_frozen_norms_that_use_batch_statistics_are_counted(ground: Ground) -> None:
    norms = [m for m in ground.setup.model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms[:2]:
        norm.requires_grad_(False)
    result = modes(ground)
    assert result.passed is False
    assert result.measured.startswith("2 frozen norms")


def test_the_loss_at_the_start_is_that_of_the_first_images(ground: Ground) -> None:
    result = start_of_loss(ground)
    images, targets = ground.some
    with torch.no_grad():
        loss = F.cross_entropy(ground.setup.model(images), targets)
    assert result.passed
    assert result.measured == f"{loss:.2f} nats; ln 10 is {math.log(10):.2f}"
    with torch.no_grad():
        for parameter in ground.setup.model.head.parameters():
            parameter.mul_(100)
    assert start_of_loss(ground).passed is False


def test_layers_without_a_gradient_are_named(ground: Ground) -> None:
    model = ground.setup.model
    model.register_parameter("unused", nn.Parameter(torch.ones(3)))
    gradients, memorised = learning(ground)
    assert gradients.passed is False
    assert "unused" in gradients.measured
    assert memorised.passed


def test_a_network_whose_maps_are_dead_learns_nothing_by_heart(ground: Ground) -> None:
    last = ground.setup.model.stages[-1]
    last.register_forward_hook(lambda _module, _inputs, output: output * 0)
    gradients, memorised = learning(ground)
    assert gradients.passed is False
    assert memorised.passed is False
    assert memorised.measured.split()[0] != "16"


def test_what_the_time_was_too_short_for_is_not_judged(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*args: object, **options: object) -> object:
        return learn_by_heart(*args, **options, seconds=1e-9)  # type: ignore[arg-type]

    monkeypatch.setattr("fathom.doctor.preflight.learn_by_heart", short)
    _, memorised = learning(ground)
    assert memorised.passed is None
    assert "the time was over" in memorised.measured


def test_learning_by_heart_trains_without_dropout_and_starts_from_the_weights() -> None:
    setup = Ground.of(tiny()).setup
    views, targets = sample(setup.dataset, 16)
    images = setup.dataset.preprocess.normalise(views)
    setup.model.train()
    with torch.no_grad():
        first = float(F.cross_entropy(setup.model(images), targets))
    setup.model.head.insert(1, nn.Dropout(0.999))
    found = learn_by_heart(setup.model, images, targets, context=nullcontext)
    assert found.losses[0] == pytest.approx(first, rel=1e-5)
    assert found.right == found.images == 16


def test_the_length_follows_from_the_steps(ground: Ground) -> None:
    slow = replace(ground, load_seconds=1000.0)
    assert "1e+03 s a step, most of it loading" in length(slow).measured
    assert "33 min for 2 steps" in length(slow).measured
    recipe = replace(tiny(), steps=None, minutes=100.0)
    told = length(replace(slow, setup=replace(ground.setup, recipe=recipe))).measured
    assert "about 6 steps in 100 minutes" in told
    assert isinstance(ground.setup.batches.order, Order)


def test_what_does_not_fit_in_memory_is_named(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert room(ground.setup).passed
    monkeypatch.setattr("fathom.doctor.preflight.available_memory", lambda: 1000)
    result = room(ground.setup)
    assert result.passed is False
    assert "--set accumulate=2" in result.remedy
    mixed = replace(ground.setup, runtime=replace(ground.setup.runtime, precision="bfloat16"))
    assert room(mixed).passed is None


def test_what_is_left_of_other_tests_takes_no_room(ground: Ground) -> None:
    for parameter in ground.setup.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    assert room(ground.setup).passed
    assert all(parameter.grad is None for parameter in ground.setup.model.parameters())


@pytest.mark.parametrize(("rare", "passed"), [(4, True), (2, None)])
def test_rare_classes_are_worth_knowing_unless_balanced(
    ground: Ground, rare: int, passed: bool | None
) -> None:
    dataset = loaded(array_catalog({"many": 40, "few": rare + 1}))
    setup = replace(ground.setup, dataset=dataset)
    counts = dataset.counts("train")
    result = class_counts(setup)
    assert result.passed is (True if counts[0] <= 10 * counts[1] else None) is passed
    assert f"{counts[1]} of “few” to {counts[0]} of “many”" in result.measured
    balanced = replace(setup.recipe, sampling="balanced")
    assert class_counts(replace(setup, recipe=balanced)).passed


def test_copies_in_both_splits_are_named_whatever_they_are_called(tmp_path: Path) -> None:
    write_tree(tmp_path / "train", {"a": 8, "b": 8})
    write_tree(tmp_path / "val", {"a": 4, "b": 4}, first=100)
    recipe = replace(tiny(), batch_size=4)
    recipe = replace(recipe, data=replace(recipe.data, source=str(tmp_path), workers=0))
    assert duplicates(Ground.of(recipe).setup.dataset).passed
    write(tmp_path / "val" / "b" / "other.png", encode(noise(3)))
    result = duplicates(Ground.of(recipe).setup.dataset)
    assert result.passed is False
    told = "1 of 9 val images are training images, too: val/b/other.png is train/a/3.png"
    assert told in result.measured


def test_blank_images_are_counted() -> None:
    views = torch.from_numpy(np.stack([noise(i) for i in range(20)])).permute(0, 3, 1, 2)
    assert blank_images(views).passed
    views[4:6] = 128
    result = blank_images(views)
    assert result.passed is False
    assert result.measured.startswith("2 of 20")


def backbone(weights: str) -> ImageClassifier:
    return find_backbones(weights)[0].build()


def test_images_unlike_those_of_the_weights_are_named(weights: str, ground: Ground) -> None:
    views, _ = sample(ground.setup.dataset)
    assert fit_of_weights(views, backbone(weights)).passed
    result = fit_of_weights(views // 16, backbone(weights))
    assert result.passed is False
    assert result.measured.startswith("range: ")
    assert result.remedy


def test_labels_that_have_nothing_to_do_with_the_images_are_told(
    weights: str, ground: Ground
) -> None:
    network = backbone(weights)
    assert labels_of_images(ground.setup, network).passed
    split = ground.setup.dataset.splits["train"]
    order = torch.randperm(len(split.images), generator=torch.Generator().manual_seed(1)).tolist()
    mixed = replace(split.images, targets=tuple(split.images.targets[i] for i in order))
    splits = {**ground.setup.dataset.splits, "train": replace(split, images=mixed)}
    dataset = replace(ground.setup.dataset, splits=splits)
    assert labels_of_images(replace(ground.setup, dataset=dataset), network).passed is None


def test_a_recipe_with_weights_asks_them(weights: str) -> None:
    recipe = replace(tiny(), steps=2)
    recipe = replace(recipe, model=replace(recipe.model, weights=weights))
    found = {r.name: r.passed for r in preflight(recipe)}
    assert found["images fit the pretrained weights"]
    assert found["labels go together with the images"]
    assert False not in found.values()
