"""Gradients by layer, and each conclusion both ways."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fathom.experiments.gradient_flow import (
    _decades,
    _findings,
    _thinned,
    fresh_profile,
    gradient_flow,
    moments,
)
from fathom.experiments.initialisation import DEVIATIONS
from fathom.experiments.nouns import Values
from fathom.models.registry import build_model

from .scaffold import results, setting

ARMS = [arm.name for arm in gradient_flow(setting()).arms]


def test_a_profile_holds_the_slope_of_the_loss_along_each_gradient() -> None:
    """By finite differences: along its own gradient the loss rises by the gradient's norm."""
    torch.manual_seed(0)
    spec = {"depths": [1], "widths": [4], "norm": "none"}
    model = build_model("cifar_resnet20", num_classes=3, in_channels=1, **spec).double()
    images, targets = torch.randn(3, 1, 8, 8).double(), torch.tensor([0, 1, 2])
    found = fresh_profile(model, images, targets)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert len(found) == len(convolutions) == 3
    for norm, module in zip(found, convolutions, strict=True):
        assert module.weight.grad is not None
        step = 1e-6 * module.weight.grad / module.weight.grad.norm()
        with torch.no_grad():
            module.weight += step
            above = F.cross_entropy(model(images), targets)
            module.weight -= 2 * step
            below = F.cross_entropy(model(images), targets)
            module.weight += step
        assert norm == pytest.approx(math.log10(float(above - below) / 2e-6), abs=1e-4)


def test_a_gradient_of_zero_has_a_logarithm() -> None:
    torch.manual_seed(0)
    spec = {"depths": [1], "widths": [4], "norm": "none", "residual": False}
    model = build_model("cifar_resnet20", num_classes=3, in_channels=1, **spec)
    with torch.no_grad():
        for parameter in model.stages.parameters():
            parameter.zero_()
    assert fresh_profile(model, torch.randn(2, 1, 8, 8), torch.tensor([0, 1]))[0] == -200


def test_profiles_are_thinned_evenly_with_both_ends() -> None:
    whole = [float(i) for i in range(151)]
    thin = _thinned(whole)
    assert len(thin["layers"]) == 20
    assert (thin["layers"][0], thin["layers"][-1]) == (1, 151)
    assert thin["norms"] == [whole[int(layer) - 1] for layer in thin["layers"]]
    assert _thinned(whole[:7])["layers"] == [1, 2, 3, 4, 5, 6, 7]
    assert _decades([1.0, 5.0, 3.0]) == -2


@pytest.mark.parametrize(
    ("steps", "wanted"), [(1, [1]), (4, [1, 2, 3, 4]), (9, [1, 3, 6, 9]), (100, [1, 34, 67, 100])]
)
def test_moments_are_the_ends_and_the_thirds(steps: int, wanted: list[int]) -> None:
    assert moments(steps) == wanted


def values(
    *, deepest: float = 3.0, harm: float = 0.1, whole: bool = True, normed: bool = True
) -> Values:
    found: Values = {
        "schemes_at": 56,
        "profile": {"layers": [1, 55], "norms": [deepest, 0.0]},
        "by_depth": {"8": 0.1, "152": deepest},
        "by_scheme": {scheme: float(i) for i, scheme in enumerate(DEVIATIONS)},
        "at": [1, 9],
        "along": [0.5, 0.25],
        "whole": whole,
        "train_error": 0.1,
    }
    if normed:
        found |= {"blocks": 15, "removable": 12, "deleted": [0, 1, 8], "intact": 0.1}
        found |= {"errors": [0.1, 0.1 + harm, 0.9], "without_one": 0.1 + harm, "harm": harm}
    return found


def told(
    plain: float = 3.0, harms: tuple[float, float] = (0.5, 0.01), broken: str | None = None
) -> str:
    cells = {}
    for arm in ARMS:
        harm = harms["residual" in arm]
        cells[arm] = [
            values(
                deepest=plain,
                harm=harm + wobble,
                whole=arm != broken,
                normed="batch norm" in arm,
            )
            for wobble in (0, 0.01, 0.02)
        ]
    found = _findings(results(cells))
    assert len(found.charts) >= 4
    return " ".join(found.sentences)


def test_findings_say_what_plain_gradients_do_under_batch_norm() -> None:
    assert "explodes towards the first layers: at 152 layers by 10^3.0" in told(3.0)
    assert "lose their gradient" in told(-3.0)
    assert "as He et al. 2015 say" in told(0.5)


def test_findings_say_who_bears_the_loss_of_a_block() -> None:
    assert "as Veit et al. 2016 found" in told()
    assert "contradicts Veit et al. 2016" in told(harms=(0.01, 0.5))
    assert "show no difference" in told(harms=(0.1, 0.1))
    assert "Its 15 blocks are 2^15 = 32,768 paths. Without one block" in told()
    assert "without 8, 128, and the error is 90.0 %" in told()


def test_findings_say_where_training_broke_off() -> None:
    assert "broke off" not in told()
    assert "Training broke off in plain, no norm" in told(broken="plain, no norm")


def test_findings_say_how_far_apart_the_schemes_are() -> None:
    assert "spans this many powers of ten at 56 layers: 3.0 (plain, no norm)" in told()
