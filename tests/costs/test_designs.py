"""Designs of one convolution against the modules they describe."""

import pytest
from torch import nn

from fathom.costs import cost
from fathom.costs.designs import conv_designs
from fathom.errors import UserError


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_designs_cost_what_their_modules_cost(kernel: int) -> None:
    found = conv_designs(
        24, 36, kernel=kernel, size=10, reduce=8, bottleneck=5, groups=6, separable=True
    )

    def conv(inputs: int, outputs: int, side: int, groups: int = 1) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, side, padding=side // 2, groups=groups, bias=False)

    modules = [
        conv(24, 36, kernel),
        nn.Sequential(conv(24, 8, 1), conv(8, 36, kernel)),
        nn.Sequential(conv(24, 5, 1), conv(5, 5, kernel), conv(5, 36, 1)),
        conv(24, 36, kernel, 6),
        nn.Sequential(conv(24, 24, kernel, 24), conv(24, 36, 1)),
    ]
    for design, module in zip(found, modules, strict=True):
        counted = cost(module, image_size=10)
        assert (design.params, design.macs, design.flops) == (
            counted.params,
            counted.macs,
            counted.flops,
        )


def test_the_story_of_the_bottleneck() -> None:
    """28x28x256, 5x5 to 128, by way of 32 channels (Szegedy et al. 2014, Section 4, the idea)."""
    plain, reduced = conv_designs(256, 128, kernel=5, size=28, reduce=32)
    assert (plain.params, reduced.params) == (819_200, 8_192 + 102_400)
    assert plain.macs / reduced.macs == pytest.approx(7.41, abs=0.005)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": 0, "size": 5}, "kernel is 0"),
        ({"kernel": 3, "size": 5, "groups": 7}, "7 groups do not divide"),
        ({"kernel": 3, "size": 5, "reduce": -1}, "reduce is -1"),
        ({"kernel": 3, "size": 5, "bottleneck": 0}, "bottleneck is 0"),
    ],
)
def test_impossible_designs_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        conv_designs(16, 16, **settings)  # type: ignore[arg-type]
