"""What norms do to real activations, against the papers' formulas written out."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import fathom
from fathom.data.settings import NoCrop
from fathom.layers import make_norm
from fathom.norm_lab import (
    DIGITS,
    DRAWS,
    NETWORK,
    SIDE,
    after_steps,
    batches,
    catch_up,
    digits_into_norms,
    from_instance,
    gap_of_images,
    into_norms,
    lone_norm,
    noise_of_batches,
    outputs,
    reach,
    refused,
    spread_of_image_means,
)
from fathom.runtime import generator
from fathom.training.recipe import ModelSettings
from fathom.training.setup import Setup

PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=15)


def some(*shape: int, seed: int = 0) -> Tensor:
    return 2 + 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_activations_are_those_of_a_run_at_its_start() -> None:
    recipe = fathom.recipe("default", "digits", seed=0, batch_size=DIGITS)
    augment = replace(recipe.augment, crop=NoCrop(), flip=False, cutout=None, policy=None)
    recipe = replace(
        recipe, model=ModelSettings(NETWORK), image_size=SIDE, augment=augment, channels_last=False
    )
    setup = Setup.of(recipe)
    images = next(setup.batches.start(0)).images
    assert images.shape == (DIGITS, 1, SIDE, SIDE)
    maps = digits_into_norms()
    norms = [n for n, m in setup.model.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert list(maps) == norms
    with torch.no_grad():
        stem = setup.model.get_submodule("stem.0")(images)
        last = setup.model.train().features(images)[-1]
    assert torch.equal(maps["stem.1"], stem)
    assert maps[norms[-1]].shape == last.shape


def test_looking_leaves_the_model_alone() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = some(4, 1, 6, 6)
    found = into_norms(model, images)
    assert torch.equal(found["1"], model[0](images).detach())
    assert not model.training
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@PROPERTY
@given(st.integers(1, 6), st.floats(-3, 3), st.floats(-3, 3), st.floats(-8, 1), st.integers(0, 99))
def test_outputs_are_algorithm_1(
    count: int, gamma: float, beta: float, power: float, seed: int
) -> None:
    x, eps = some(count, 1, 3, 2, seed=seed), 10**power
    values = x.flatten().tolist()
    mean = sum(values) / len(values)
    var = sum((v - mean) ** 2 for v in values) / len(values)
    hat = torch.tensor([(v - mean) / (var + eps) ** 0.5 for v in values])
    norm = lone_norm(eps=eps)
    normalised, scaled = outputs(norm, x, gamma=gamma, beta=beta)
    torch.testing.assert_close(normalised.flatten(), hat, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scaled.flatten(), gamma * hat + beta, rtol=1e-4, atol=1e-5)
    assert norm.running_mean is not None
    assert float(norm.running_mean) == 0  # it stays as it was


@PROPERTY
@given(st.floats(0.01, 1), st.integers(1, 8), st.integers(0, 99))
def test_running_statistics_are_moving_averages(momentum: float, size: int, seed: int) -> None:
    maps = some(16, 1, 2, 2, seed=seed)
    norm = lone_norm(momentum=momentum)
    given_batches = list(islice(batches(maps, size), 6))
    mean, var = 0.0, 1.0
    for moment, batch in zip(catch_up(norm, given_batches), given_batches, strict=True):
        assert moment.running_mean == pytest.approx(mean, abs=1e-4)
        assert moment.running_var == pytest.approx(var, rel=1e-4)
        assert moment.batch_mean == pytest.approx(float(batch.mean()), abs=1e-5)
        assert moment.batch_var == pytest.approx(float(batch.var(correction=1)), rel=1e-5)
        trained = (batch - batch.mean()) / (batch.var(correction=0) + 1e-5).sqrt()
        evaluated = (batch - mean) / (var + 1e-5) ** 0.5
        wanted = float((trained - evaluated).square().mean().sqrt())
        assert moment.gap == pytest.approx(wanted, rel=1e-3, abs=1e-4)
        mean = (1 - momentum) * mean + momentum * float(batch.mean())
        var = (1 - momentum) * var + momentum * float(batch.var(correction=1))
    other = lone_norm(momentum=momentum)
    after_steps(other, maps, batch_size=size, steps=6)
    assert norm.running_mean is not None
    assert other.running_mean is not None
    assert torch.equal(norm.running_mean, other.running_mean)


def test_an_epoch_of_batches_shows_every_image_once() -> None:
    maps = torch.arange(12.0).view(12, 1, 1, 1)
    seen = torch.cat(list(islice(batches(maps, 4), 3))).flatten()
    assert sorted(seen.tolist()) == list(range(12))


@pytest.mark.parametrize("name", ["batch", "layer", "instance", "group", "channel_layer"])
def test_a_norm_reaches_what_its_paper_averages(name: str) -> None:
    shape, image, channel = (4, 8, 3, 2), 1, 5
    wanted = torch.zeros(shape, dtype=torch.bool)
    if name == "batch":
        wanted[:, channel] = True
    elif name == "layer":
        wanted[image] = True
    elif name == "instance":
        wanted[image, channel] = True
    elif name == "group":
        wanted[image, 4:6] = True  # four groups of two channels
    else:
        wanted[image, :, 0, 0] = True
    averaged, count = reach(make_norm(name, 8), shape, image=image, channel=channel)
    assert torch.equal(averaged, wanted.any(dim=(2, 3)))
    assert count == int(wanted.sum())


def test_the_noise_of_batches_is_that_of_their_means() -> None:
    maps = some(64, 4, 4)
    order = generator(0, "random batches", 8)
    drawn = maps[torch.randint(64, (8, DRAWS), generator=order)]
    means = [float(drawn[:, draw].mean()) for draw in range(DRAWS)]
    spread, gap = noise_of_batches(maps, 8)
    assert spread == pytest.approx(float(torch.tensor(means).std()), rel=1e-4)
    wanted = 0.0
    for draw in range(DRAWS):
        batch = drawn[:, draw]
        trained = (batch - batch.mean()) / (batch.var(correction=0) + 1e-5).sqrt()
        evaluated = (batch - maps.mean()) / (maps.var(correction=1) + 1e-5).sqrt()
        wanted += float((trained - evaluated).square().mean()) / DRAWS
    assert gap == pytest.approx(wanted**0.5, rel=1e-3)


def test_the_noise_falls_with_the_root_of_the_batch() -> None:
    maps = digits_into_norms()["stages.1.1.branch.1"][:, 7]
    single = float(maps.mean(dim=(1, 2)).std())
    for size in (1, 4, 16, 64, 256):
        spread, _ = noise_of_batches(maps, size)
        assert spread == pytest.approx(single / size**0.5, rel=0.2)  # 200 draws


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_the_means_of_images_are_those_that_the_norm_subtracts(groups: int) -> None:
    maps, channel = some(32, 8, 3, 3), 5
    size = 8 // groups
    first = channel // size * size
    means = maps[:, first : first + size].mean(dim=(1, 2, 3))
    found = spread_of_image_means(maps, groups, channel)
    assert found == pytest.approx(float(means.std()), rel=1e-5)
    module = nn.GroupNorm(groups, 8)
    kernel, _, _ = torch.native_group_norm(maps, None, None, 32, 8, 9, groups, 1e-5)
    torch.testing.assert_close(module(maps), kernel)


@pytest.mark.parametrize("name", ["layer", "instance", "group"])
def test_only_batch_norm_has_two_outputs_for_an_image(name: str) -> None:
    maps = some(4, 8, 3, 3)
    assert gap_of_images(make_norm(name, 8), maps) == 0
    assert gap_of_images(make_norm("batch", 8), maps) > 0.5


def test_one_image_is_normalised_by_itself_or_refused() -> None:
    assert from_instance(some(1, 1, 4, 4), 1e-5) < 1e-5
    assert from_instance(some(2, 1, 4, 4), 1e-5) > 0.01
    assert "more than 1 value per channel" in refused(8)
