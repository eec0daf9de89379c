"""Heads in the middle: what is measured, and each conclusion both ways."""

import pytest
import torch
from torch.nn import functional as F

from fathom.experiments.aux_heads import CLAIM, aux_heads, early_gradient
from fathom.experiments.nouns import Findings, Values
from fathom.models.base import TrainingLogits
from fathom.models.googlenet import Inception
from fathom.models.registry import build_model
from tests.experiments.scaffold import CIFAR, DIGITS, results, setting

EVEN = {"early_gradient": 1.0, "early_top1": 0.5, "train_error": 0.1, "test_error": 0.2}
CURVE = {"curve_steps": [1, 2], "curve_gradient": [2.0, 1.0]}


def findings(heads: Values, none: Values) -> Findings:
    """Of three seeds that lie close together."""
    cells = {}
    for name, changes in (("heads", heads), ("none", none)):
        values = {**EVEN, **changes}
        cells[f"batch norm, {name}"] = [
            {**{key: value + shift for key, value in values.items()}, **CURVE}
            for shift in (-0.001, 0.0, 0.001)
        ]
    return aux_heads(setting(quick=True)).findings(results(cells))


@pytest.mark.parametrize("summary", [DIGITS, CIFAR])
@pytest.mark.parametrize("quick", [True, False])
def test_arms_differ_by_the_heads_alone(summary: object, quick: bool) -> None:
    data = DIGITS if summary is DIGITS else CIFAR
    arms = aux_heads(setting(data, quick=quick)).arms
    assert len(arms) == (2 if quick else 4)
    for heads, none in zip(arms[::2], arms[1::2], strict=True):
        assert heads.recipe is not None
        assert none.recipe is not None
        one, other = heads.recipe.model.spec, none.recipe.model.spec
        assert {key for key in one if one[key] != other[key]} == {"auxiliary"}
        with torch.device("meta"):
            model = build_model("googlenet", num_classes=10, in_channels=data.channels, **one)
            side = heads.recipe.image_size
            output = model.train()(torch.empty(2, data.channels, side, side))
        assert isinstance(output, TrainingLogits)
        assert [logits.shape for logits in output.auxiliary] == [(2, 10)] * 2
        blocks = sum(isinstance(module, Inception) for module in model.modules())
        assert blocks == (6 if quick else 9)


def test_the_early_gradient_is_that_of_stem_and_first_stage() -> None:
    spec = aux_heads(setting(quick=True)).arms[0].recipe
    assert spec is not None
    model = build_model("googlenet", num_classes=3, in_channels=1, **spec.model.spec)
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    logits = model.train()(images).logits
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()  # type: ignore[no-untyped-call]
    total = 0.0
    for name, parameter in model.named_parameters():
        if name.startswith(("stem.", "stages.0.")):
            assert parameter.grad is not None
            total += sum(value**2 for value in parameter.grad.flatten().tolist())
    assert early_gradient(model) == pytest.approx(total**0.5, rel=1e-5)


def test_regularising_is_a_lower_error_on_new_images_alone() -> None:
    found = findings({"test_error": 0.15, "early_gradient": 2.0}, {})
    assert found.verdicts[CLAIM].verdict == "demonstrated"
    assert "regularise and do not make the beginning faster" in found.sentences[0]
    assert "2.00 times" in found.sentences[1]
    assert found.verdicts[CLAIM].computed["batch norm, heads, validation error (%)"] == 15.0


@pytest.mark.parametrize(
    ("heads", "said"),
    [
        ({}, "neither"),
        ({"test_error": 0.15, "train_error": 0.05}, "neither"),
        ({"test_error": 0.25}, "neither"),
        ({"early_top1": 0.6}, "not what Szegedy et al. found"),
        ({"early_top1": 0.6, "test_error": 0.15}, "faster, too"),
        ({"early_top1": 0.4}, "neither"),
    ],
)
def test_anything_else_is_not_reproduced(heads: Values, said: str) -> None:
    found = findings(heads, {})
    assert found.verdicts[CLAIM].verdict == "not-reproduced"
    assert said in found.sentences[0]
    assert found.verdicts[CLAIM].explanation.startswith(found.sentences[0])


def test_two_seeds_demonstrate_nothing() -> None:
    cells = {
        "batch norm, heads": [{**EVEN, **CURVE, "test_error": 0.1}] * 2,
        "batch norm, none": [{**EVEN, **CURVE}] * 2,
    }
    found = aux_heads(setting(quick=True)).findings(results(cells))
    assert "regularise" in found.sentences[0]
    assert found.verdicts[CLAIM].verdict == "not-reproduced"
