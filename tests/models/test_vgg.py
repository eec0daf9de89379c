"""VGG against the tables of its paper, and its switches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import fathom
from fathom.costs import cost
from fathom.errors import UserError
from fathom.models.base import ImageClassifier

CONFIGURATIONS = {"A": "vgg11", "B": "vgg13", "D": "vgg16", "E": "vgg19"}


def on_meta(name: str, **settings: Any) -> ImageClassifier:
    with torch.device("meta"):
        return fathom.create_model(name, **settings)


def params(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("configuration", "depths"),
    [
        ("A", (1, 1, 2, 2, 2)),
        ("B", (2, 2, 2, 2, 2)),
        ("D", (2, 2, 3, 3, 3)),
        ("E", (2, 2, 4, 4, 4)),
    ],
)
def test_configurations_are_those_of_table_1(configuration: str, depths: tuple[int, ...]) -> None:
    """arXiv:1409.1556, Table 1: 3x3 convolutions of 64 to 512 channels, 11 to 19 weighted layers,
    and maps that halve five times."""
    name = CONFIGURATIONS[configuration]
    model = on_meta(name)
    convolutions = [
        [m for m in stage.modules() if isinstance(m, nn.Conv2d)] for stage in model.stages
    ]
    assert tuple(map(len, convolutions)) == depths
    assert [{m.out_channels for m in stage} for stage in convolutions] == [
        {64},
        {128},
        {256},
        {512},
        {512},
    ]
    assert all(m.kernel_size == (3, 3) for stage in convolutions for m in stage)
    linear = [m.out_features for m in model.head if isinstance(m, nn.Linear)]
    assert linear == [4096, 4096, 1000]
    assert name == f"vgg{sum(depths) + 3}"
    maps = model.features(torch.zeros(1, 3, 224, 224, device="meta"))
    assert [m.shape[2] for m in maps] == [112, 56, 28, 14, 7]


def test_parameters_are_those_of_table_2() -> None:
    """arXiv:1409.1556, Table 2: 133, 133, 134, 138 and 144 million for A, B, C, D and E.

    C is D with 1x1 kernels in the last convolution of the third, fourth and fifth stage.
    """
    found = {letter: params(on_meta(name)) for letter, name in CONFIGURATIONS.items()}
    found["C"] = found["D"] - (9 - 1) * (256 * 256 + 512 * 512 + 512 * 512)
    millions = {letter: round(count / 1e6) for letter, count in found.items()}
    assert millions == {"A": 133, "B": 133, "C": 134, "D": 138, "E": 144}


def test_vgg16_takes_15_thousand_million_multiply_adds() -> None:
    """torchvision lists 15.47 thousand million operations for vgg16, counting multiply-adds."""
    assert cost(on_meta("vgg16"), image_size=224).macs == pytest.approx(15.47e9, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("vgg11", [(29.6, 10.4)]),
        ("vgg13", [(28.7, 9.9)]),
        ("vgg16", [(27.0, 8.8), (26.8, 8.7), (25.6, 8.1)]),
        ("vgg19", [(27.3, 9.0), (26.9, 8.7), (25.5, 8.0)]),
    ],
)
def test_cards_give_the_errors_of_table_3(name: str, figures: list[tuple[float, float]]) -> None:
    """arXiv:1409.1556, Table 3: top-1 and top-5 error at a single test scale, percent."""
    rows = [p for p in fathom.model_card(name).published if "Table 3" in p.source]
    assert [(100 * (1 - p.top1), 100 * (1 - p.top5)) for p in rows if p.top1 and p.top5] == [
        pytest.approx(pair) for pair in figures
    ]


@pytest.mark.parametrize("name", CONFIGURATIONS.values())
def test_batch_norm_adds_two_parameters_a_channel(name: str) -> None:
    plain, normed = on_meta(name), on_meta(f"{name}_bn")
    channels = sum(m.out_channels for m in plain.modules() if isinstance(m, nn.Conv2d))
    assert params(normed) - params(plain) == 2 * channels
    block = normed.stages[2].get_submodule("1")
    assert [type(m) for m in block.children()] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in plain.modules())


def test_weights_start_as_torchvisions() -> None:
    """Kaiming normal with fan-out (He et al. 2015, arXiv:1502.01852), linear layers 0.01."""
    torch.manual_seed(0)
    for module in fathom.create_model("vgg11").modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        std = 0.01 if isinstance(module, nn.Linear) else (2 / (9 * module.out_channels)) ** 0.5
        assert module.weight.std().item() == pytest.approx(std, rel=0.05)
        assert module.bias is not None
        assert not module.bias.any()


def test_depths_widths_and_dropout_are_free() -> None:
    model = on_meta("vgg11_bn", depths=[1, 2], widths=[8, 16], dropout=0.25, num_classes=3).eval()
    assert model.min_size == 4
    maps = model.features(torch.zeros(1, 3, 32, 32, device="meta"))
    assert [tuple(m.shape[1:]) for m in maps] == [(8, 16, 16), (16, 8, 8)]
    assert model(torch.zeros(1, 3, 4, 4, device="meta")).shape == (1, 3)
    assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.25, 0.25]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depths": (1, 1)}, "same number of stages"),
        ({"depths": (1, 1, 0, 1, 1)}, "at least one convolution"),
        ({"widths": (64, 128, 0, 512, 512)}, "at least 1"),
        ({"dropout": -0.1}, "dropout is -0.1"),
        ({"stem": "cifar"}, "unknown setting"),
    ],
)
def test_what_cannot_be_built_is_said(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fathom.create_model("vgg11", **settings)
