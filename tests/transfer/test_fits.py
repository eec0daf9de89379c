"""Each fault is named where it is, and healthy images of every kind are left alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel  # type: ignore[import-untyped]
from torch import Tensor, nn

import fathom
from fathom.errors import UserError
from fathom.models.base import ImageClassifier
from fathom.preprocess import Preprocess
from fathom.transfer import fits
from fathom.transfer.fits import PREPARATIONS, check_fit, misfit
from fathom.weights.sources import IMAGENET_MEAN, IMAGENET_STD
from tests.accelerator import on_apple

Builder = Callable[[Preprocess], ImageClassifier]
Change = Callable[[Tensor], Tensor]

SIZE = 32
IMAGENET = Preprocess(SIZE, SIZE, 3, IMAGENET_MEAN, IMAGENET_STD)
WAYS = {name: replace(IMAGENET, mean=m, std=s) for name, (m, s) in PREPARATIONS.items()}
LITE = replace(IMAGENET, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


def photographs(seed: int, count: int = 48, size: int = SIZE) -> Tensor:
    """(N, 3, S, S) uint8 with the mean, deviation, smoothness and muted colours of photographs."""
    draw = torch.Generator().manual_seed(seed)
    maps = torch.zeros(count, 3, size, size)
    for side in (2, 4, 8, 16, size):
        rough = torch.randn(count, 3, side, side, generator=draw)
        rough = 0.4 * rough + rough.mean(1, keepdim=True)
        maps += F.interpolate(rough, size, mode="bilinear", align_corners=False) * side**-0.5
    maps = (maps - maps.mean((0, 2, 3), keepdim=True)) / maps.std((0, 2, 3), keepdim=True)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return ((maps * std + mean) * 255).round().clamp(0, 255).byte()


def pretrained(name: str, preprocess: Preprocess, **spec: Any) -> ImageClassifier:
    """A small network whose running statistics are those of photographs prepared like this."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = fathom.create_model(name, num_classes=12, **spec)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
    with torch.no_grad():
        model.train()(preprocess.normalise(photographs(0, 64)))
    return model.eval()


@cache
def small_resnet(preprocess: Preprocess) -> ImageClassifier:
    return pretrained("cifar_resnet20", preprocess, depths=(1, 1, 1))


@cache
def small_lite(preprocess: Preprocess) -> ImageClassifier:
    return pretrained(
        "efficientnet_lite0", preprocess, width=0.25, dropout=0.0, stochastic_depth=0.0
    )


class Patches(ImageClassifier):
    """(N, 3, S, S) images of a bright patch -> (N, 16) logits, by its place on a grid of 4x4.

    The place with most green wins, and is the surer, the redder the patch and the less blue.
    colour is how much that counts.
    """

    block_types = (nn.Identity,)

    def __init__(self, colour: float) -> None:
        super().__init__(num_classes=16, in_channels=3)
        self.stem, self.stages = nn.Identity(), nn.ModuleList([nn.Identity()])
        linear = nn.Linear(48, 16)
        with torch.no_grad():
            linear.bias.zero_()
            linear.weight.copy_(torch.cat([w * torch.eye(16) for w in (colour, 1, -colour)], 1))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), linear)


def patches(count: int, *, places: int = 16) -> Tensor:
    """(N, 3, S, S) uint8: warm patches on a grid, each of its own colour, on dark noise."""
    draw = torch.Generator().manual_seed(7)
    images = torch.rand(count, 3, SIZE, SIZE, generator=draw) * 20
    images = images + torch.linspace(0, 20, SIZE)
    for index in range(count):
        row, column = divmod(index % places, 4)
        red, blue = torch.rand(2, generator=draw).tolist()
        colour = torch.tensor([120 + 120 * red, 230, 20 + 120 * blue]).view(3, 1, 1)
        images[index, :, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = colour
    return images.round().byte()


def kinds(found: fits.Fit) -> list[str]:
    return [fault.kind for fault in found.faults]


# Healthy images


@pytest.mark.parametrize("build", [small_resnet, small_lite])
def test_images_like_those_of_the_weights_fit(build: Builder) -> None:
    found = check_fit(build(IMAGENET), photographs(2), preprocess=IMAGENET)
    assert found.faults == ()
    found.refuse()
    assert found.notes == ()
    assert found.images == found.distinct == 48
    assert (found.blank, found.gray) == (0, False)
    assert found.misfit["in use"] == min(found.misfit.values()) < 0.3
    assert found.order is not None
    assert json.loads(json.dumps(found.to_dict()))["order"]["classes"] == found.order.classes


@pytest.mark.parametrize(
    "change",
    [
        lambda v: 255 - v,
        lambda v: (v.float() * 0.3 + 90).byte(),  # pale: the network would like more contrast
        lambda v: (v.float() * 0.25).byte(),
        lambda v: (v.float() * 0.25 + 190).byte(),
        lambda v: (v > 120).byte() * 255,
        lambda v: v.flip(1),  # nothing is recognised, so nothing is said of the channels
        lambda v: (
            (v.float() * torch.tensor([0.35, 0.9, 1.1]).view(1, 3, 1, 1)).clamp(0, 255).byte()
        ),
        lambda v: F.interpolate(v[:6].float(), 150, mode="bilinear").byte(),
        lambda v: v[:1],
        lambda v: v[:5],
    ],
    ids=[
        "inverted",
        "pale",
        "dark",
        "bright",
        "black-white",
        "blue",
        "sea",
        "large",
        "one",
        "five",
    ],
)
def test_strange_but_healthy_images_are_left_alone(change: Change) -> None:
    views = change(photographs(3))
    assert kinds(check_fit(small_resnet(IMAGENET), views, preprocess=IMAGENET)) == []


def test_gray_images_carry_no_order_of_channels() -> None:
    gray = photographs(4)[:, :1].expand(-1, 3, -1, -1)
    found = check_fit(Patches(0.5).eval(), gray, preprocess=IMAGENET)
    assert (found.gray, found.order) == (True, None)
    assert "gray" in found.notes[-1]


def test_a_device_without_float64_gives_the_same_answer() -> None:
    model, views = small_resnet(IMAGENET), photographs(2)
    expected = check_fit(model, views, preprocess=IMAGENET)
    assert check_fit(model, on_apple(views), preprocess=IMAGENET) == expected


# Sick images


def masks(views: Tensor) -> Tensor:
    return (views > 120).byte()


def index_images(views: Tensor) -> Tensor:
    return views // 16


def almost_black(views: Tensor) -> Tensor:
    return (views.float() * 0.05).byte()


def almost_white(views: Tensor) -> Tensor:
    return 255 - views // 10


def low_byte(views: Tensor) -> Tensor:
    """What is left of 16-bit images without their high byte."""
    sixteen = views.numpy().astype(np.uint16) * 257
    dither = np.random.default_rng(0).integers(-128, 128, sixteen.shape)
    return torch.from_numpy(((sixteen + dither) & 255).astype(np.uint8))


@pytest.mark.parametrize("spoil", [masks, index_images, almost_black, almost_white, low_byte])
def test_a_sliver_of_the_range_is_named(spoil: Change) -> None:
    views = spoil(photographs(5))
    found = check_fit(small_resnet(IMAGENET), views, preprocess=IMAGENET)
    assert kinds(found) == ["range"]
    assert found.misfit == {}, "a network need not be asked about these"
    with pytest.raises(UserError, match=r"fit the weights\. range: .*0\.\.255.*--trust-images"):
        found.refuse()


def test_the_range_is_that_of_all_but_the_outermost_thousandths() -> None:
    views = (photographs(5).float() * 0.5 + 30).byte()
    views[:, :, 0, 0], views[:, :, -1, -1] = 255, 0  # one pixel in 1024 is not a picture
    found = check_fit(small_resnet(IMAGENET), views, preprocess=IMAGENET)
    pixels = np.sort(views.numpy().ravel())
    cut = pixels.size // 1000
    assert (found.low, found.high) == (pixels[cut], pixels[pixels.size - cut - 1])
    assert 0 == pixels[0] < found.low < found.high < pixels[-1] == 255


def test_blank_images_are_named() -> None:
    views = photographs(6)
    draw = torch.Generator().manual_seed(0)
    views[:25] = torch.randint(0, 256, (25, 3, 1, 1), generator=draw).byte()
    found = check_fit(small_resnet(IMAGENET), views, preprocess=IMAGENET)
    assert kinds(found) == ["statistics"]
    with pytest.raises(UserError, match="statistics: 25 of 48 images are blank"):
        found.refuse()
    views[0] = photographs(6)[0]  # half of them may be: a class of its own
    half = check_fit(small_resnet(IMAGENET), views, preprocess=IMAGENET)
    assert kinds(half) == []
    rest = check_fit(small_resnet(IMAGENET), views[25:], preprocess=IMAGENET)
    assert (half.blank, half.related > 0.6) == (24, True)
    assert rest.related == pytest.approx(half.related, abs=0.02)


@pytest.mark.parametrize(("different", "faults"), [(1, 1), (4, 1), (5, 0)])
def test_copies_are_named(different: int, faults: int) -> None:
    views = photographs(6)[:different].repeat(48, 1, 1, 1)[:48]
    found = check_fit(small_resnet(IMAGENET), views, preprocess=IMAGENET)
    assert found.distinct == different
    assert kinds(found) == ["statistics"] * faults


@pytest.mark.parametrize("build", [small_resnet, small_lite])
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("ImageNet's mean and standard deviation", "pixels from -1 to 1"),
        ("ImageNet's mean and standard deviation", "pixels from 0 to 1"),
        ("ImageNet's mean and standard deviation", "pixels from 0 to 255"),
        ("pixels from -1 to 1", "ImageNet's mean and standard deviation"),
        ("pixels from 0 to 255", "ImageNet's mean and standard deviation"),
    ],
)
def test_another_normalisation_is_named(build: Builder, right: str, wrong: str) -> None:
    model = build(WAYS[right])
    views = photographs(8)
    assert kinds(check_fit(model, views, preprocess=WAYS[right])) == []
    found = check_fit(model, views, preprocess=WAYS[wrong])
    assert kinds(found) == ["normalisation"]
    with pytest.raises(UserError, match=f"normalisation: with {right} .* batch norms expect"):
        found.refuse()


def test_what_differs_by_less_than_a_hundredth_is_the_same() -> None:
    found = check_fit(small_resnet(LITE), photographs(8), preprocess=LITE)
    assert kinds(found) == []
    half = found.misfit["pixels from -1 to 1"]
    assert found.misfit["in use"] == pytest.approx(half, rel=0.05)


def test_exchanged_channels_are_named() -> None:
    model, views = Patches(0.5).eval(), patches(64)
    found = check_fit(model, views, preprocess=IMAGENET)
    assert kinds(found) == []
    assert found.order is not None
    assert found.order.same > 0.9
    assert (found.order.classes, found.order.t > 3.5) == (16, True)
    swapped = check_fit(model, views.flip(1), preprocess=IMAGENET)
    assert kinds(swapped) == ["channel order"]
    assert swapped.order is not None
    assert swapped.order.t == pytest.approx(-found.order.t, rel=1e-6)
    with pytest.raises(UserError, match=r"channel order: .* BGR"):
        swapped.refuse()


def test_the_order_is_left_open_where_the_evidence_does_not_separate() -> None:
    swapped = patches(64).flip(1)
    few = check_fit(Patches(0.5).eval(), patches(64, places=9).flip(1), preprocess=IMAGENET)
    assert few.order is not None
    assert (few.order.classes, few.order.t < -3.5, few.faults) == (9, True, ())
    blind = check_fit(Patches(0.0).eval(), swapped, preprocess=IMAGENET)
    assert blind.order is not None
    assert (abs(blind.order.t) < 3.5, blind.faults) == (True, ())
    lost = Patches(0.5).eval()
    with torch.no_grad():  # blue shows at the wrong place, the surer the more of it there is
        lost.classifiers()[0].weight[:, 32:] = torch.eye(16).roll(1, 0) * 4
    unsure = check_fit(lost, patches(64), preprocess=IMAGENET)
    assert unsure.order is not None
    assert (unsure.order.same < 0.55, unsure.order.classes >= 10) == (True, True)
    assert (unsure.order.t < -3.5, unsure.faults) == (True, ())


# What is measured


@pytest.mark.parametrize("way", [IMAGENET, WAYS["pixels from 0 to 255"]])
def test_misfit_is_what_it_says(way: Preprocess) -> None:
    model = small_resnet(IMAGENET)
    images = way.normalise(photographs(9, 6))
    logs = []
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            heard: list[Tensor] = []
            handle = norm.register_forward_pre_hook(lambda _, x, to=heard: to.append(x[0]))
            with torch.no_grad():
                model(images)
            handle.remove()
            total = 0.0
            for channel in range(norm.num_features):
                values = heard[0][:, channel].double().flatten().numpy()
                assert norm.running_mean is not None
                assert norm.running_var is not None
                scale = math.sqrt(float(norm.running_var[channel]) + norm.eps)
                shift = (values.mean() - float(norm.running_mean[channel])) / scale
                total += min(9.0, shift**2 + (values.std() / scale - 1) ** 2)
            logs.append(math.log(math.sqrt(total / norm.num_features)))
    assert misfit(model, images) == pytest.approx(math.exp(sum(logs) / len(logs)), rel=1e-4)


def test_misfit_leaves_no_hooks_and_is_nothing_on_the_images_of_the_weights() -> None:
    model = small_resnet(IMAGENET)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert misfit(model, IMAGENET.normalise(photographs(0, 64))) < 0.02
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_t_is_that_of_pairs() -> None:
    model, views = Patches(0.3).eval(), patches(40)
    found = check_fit(model, views, preprocess=IMAGENET)
    with torch.no_grad():
        logits, others = (
            model(IMAGENET.normalise(images)).amax(1).double() for images in (views, views.flip(1))
        )
    assert found.order is not None
    assert found.order.t == pytest.approx(ttest_rel(logits, others).statistic, rel=1e-4)


@settings(deadline=None, derandomize=True, database=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(0.1, 1.0), st.integers(0, 20))
def test_images_matched_to_imagenet_have_its_statistics(
    seed: int, contrast: float, light: int
) -> None:
    views = (photographs(seed, 8).float() * contrast + light).clamp(0, 255).byte()
    matched = fits._like_imagenet(views).double() / 255
    assert matched.mean((0, 2, 3)).numpy() == pytest.approx(IMAGENET_MEAN, abs=0.02)
    assert matched.std((0, 2, 3)).numpy() == pytest.approx(IMAGENET_STD, abs=0.02)


# What cannot be measured, and what is refused


def test_a_network_without_batch_norms_says_so() -> None:
    model = pretrained("cifar_resnet20", IMAGENET, depths=(1, 1, 1), norm="group")
    found = check_fit(model, photographs(1), preprocess=WAYS["pixels from 0 to 255"])
    assert (found.misfit, found.faults) == ({}, ())
    assert found.order is not None
    assert "no batch norms" in found.notes[0]


def test_weights_of_one_channel_are_only_asked_for_pixels() -> None:
    model = fathom.create_model("cifar_resnet20", in_channels=1, depths=(1, 1, 1)).eval()
    gray = Preprocess(SIZE, SIZE, 1, (0.5,), (0.2,))
    views = photographs(1)[:, :1]
    found = check_fit(model, views, preprocess=gray)
    assert (found.misfit, found.order, found.faults) == ({}, None, ())
    assert "3 channels" in found.notes[0]
    assert kinds(check_fit(model, masks(views), preprocess=gray)) == ["range"]


def test_views_the_network_cannot_take_are_refused() -> None:
    model, views = small_resnet(IMAGENET), photographs(1, 4)
    with pytest.raises(UserError, match="uint8"):
        check_fit(model, views.float(), preprocess=IMAGENET)
    with pytest.raises(UserError, match="must be"):
        check_fit(model, views[:0], preprocess=IMAGENET)
    with pytest.raises(UserError, match="takes"):
        check_fit(model, views[:, :1], preprocess=IMAGENET)
    with pytest.raises(UserError, match="eval"):
        check_fit(Patches(0.5), views, preprocess=IMAGENET)
