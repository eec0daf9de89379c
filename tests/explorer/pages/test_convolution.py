"""Convolutions: fields and costs are those of modules, and the weight of pixels is a gradient."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

import fathom
from fathom.costs import cost
from fathom.costs.effective import effective_field
from fathom.explorer.app import make_app
from fathom.explorer.pages import convolution
from fathom.explorer.pages.convolution import (
    NETWORKS,
    PRESETS,
    SIDE,
    draw_designs,
    draw_effective,
    draw_stack,
    page,
)
from tests.explorer.reading import figure_of, text_of

OWN = {"preset": "own", "layers": 4.0, "kernel": 3.0, "stride": 1.0, "dilation": 1.0}


def plain(channels: int, kernel: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=groups, bias=False)


def test_three_small_ones_against_a_large_one() -> None:
    """27 and 49 times the channels squared (arXiv:1409.1556, Section 2.3)."""
    small = cost(nn.Sequential(*(plain(64, 3) for _ in range(3))), image_size=SIDE)
    large = cost(plain(64, 7), image_size=SIDE)
    assert small.receptive_field is not None
    assert large.receptive_field is not None
    assert small.receptive_field.size == large.receptive_field.size == (7, 7)
    said = text_of(draw_stack(64, **{**OWN, "preset": "three3"}))
    for number in (
        *("sees 7x7 pixels", "27 C² weights", "49 C², 81 % more", "7 ← 5 ← 3 ← 1"),
        *(f"{small.params:,}", f"{small.macs:,}", f"{large.params:,}", f"{large.macs:,}"),
        f"{large.params / small.params:.2f}",
    ):
        assert number in said, number
    other = text_of(draw_stack(64, **{**OWN, "preset": "one7"}))
    assert "49 C² weights" in other
    assert "3 layers of 3x3 would take 27 C², 45 % less" in other


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_says_the_field_of_its_modules(preset: str) -> None:
    windows = PRESETS[preset][1]
    layers: list[nn.Module] = []
    for w in windows:
        pad = w.dilation * (w.kernel // 2)
        layers.append(
            nn.MaxPool2d(w.kernel, w.stride, pad)
            if w.pool
            else nn.Conv2d(8, 8, w.kernel, w.stride, pad, w.dilation, bias=False)
        )
    found = cost(nn.Sequential(*layers), image_size=SIDE)
    assert found.receptive_field is not None
    side = found.receptive_field.size[0]
    drawn = draw_stack(8, **{**OWN, "preset": preset})
    said = text_of(drawn)
    assert f"sees {side}x{side} pixels" in said
    assert f"{found.params:,}" in said
    assert f"{found.macs:,}" in said
    heat = figure_of(drawn, "convolution-seen").data[0]
    assert heat.z.shape == (side, side)
    assert ("never reads" in said) == (preset == "holes") == bool((heat.z == 0).any())


def test_the_pixels_weigh_what_their_gradients_do() -> None:
    """Of the middle output pixel, through real convolutions whose weights are all one."""
    layers = nn.Sequential(*(plain(1, 3) for _ in range(3))).double()
    for layer in layers.parameters():
        nn.init.ones_(layer)
    images = torch.zeros(1, 1, 7, 7, dtype=torch.double, requires_grad=True)
    (gradient,) = torch.autograd.grad(layers(images)[0, 0, 3, 3], images)
    drawn = draw_stack(64, **{**OWN, "preset": "three3"})
    heat = figure_of(drawn, "convolution-seen").data[0].z
    assert torch.allclose(torch.tensor(heat / 100.0).double(), gradient[0, 0] / gradient.max())
    assert f"Of {gradient.sum():,.0f} ways" in text_of(drawn)
    assert f"{gradient.max():,.0f} begin at the pixel that has most" in text_of(drawn)
    bars = [t for t in figure_of(drawn, "convolution-pyramid").data if t.type == "bar"]
    assert [len(bar.x) for bar in bars] == [7, 5, 3, 1]
    assert [count for _, count in bars[0].customdata] == [1, 3, 6, 7, 6, 3, 1]


@pytest.mark.parametrize(
    ("layers", "kernel", "stride", "dilation"),
    list(product((1.0, 5.0), (1.0, 7.0), (1.0, 2.0), (1.0, 3.0))),
)
def test_the_ends_of_every_slider_are_drawn(
    layers: float, kernel: float, stride: float, dilation: float
) -> None:
    own = {"layers": layers, "kernel": kernel, "stride": stride, "dilation": dilation}
    found = draw_stack(64, preset="own", **own)
    side = 1 + sum(int((kernel - 1) * dilation * stride**n) for n in range(int(layers)))
    assert f"sees {side}x{side} pixels" in text_of(found)


@pytest.mark.parametrize("slider", ["layers", "kernel", "stride", "dilation"])
def test_each_slider_changes_ones_own_stack_alone(slider: str) -> None:
    other = {**OWN, slider: OWN[slider] + 1 + (slider == "kernel")}  # type: ignore[operator]
    assert text_of(draw_stack(64, **other)) != text_of(draw_stack(64, **OWN))
    three, same = ({**values, "preset": "three3"} for values in (OWN, other))
    assert text_of(draw_stack(64, **three)) == text_of(draw_stack(64, **same))


def test_moving_a_slider_makes_the_stack_ones_own() -> None:
    app = make_app([page()])
    (key,) = (key for key in app.callback_map if key.startswith("convolution-preset.value"))
    body = {
        "output": key,
        "outputs": {"id": "convolution-preset", "property": key.partition(".")[2]},
        "inputs": [
            {"id": f"convolution-{name}", "property": "value", "value": OWN[name]}
            for name in ("layers", "kernel", "stride", "dilation")
        ],
        "changedPropIds": ["convolution-layers.value"],
    }
    found = app.server.test_client().post("/_dash-update-component", json=body)
    assert found.get_json()["response"]["convolution-preset"] == {"value": "own"}


@pytest.mark.parametrize("groups", ["2", "32", "64"])
@pytest.mark.parametrize("channels", [64.0, 1024.0])
def test_designs_cost_what_their_modules_cost(channels: float, groups: str) -> None:
    width = int(channels)
    narrow = width // 4
    modules = [
        plain(width, 3),
        nn.Sequential(
            nn.Conv2d(width, narrow, 1, bias=False),
            nn.Conv2d(narrow, width, 3, padding=1, bias=False),
        ),
        nn.Sequential(
            nn.Conv2d(width, narrow, 1, bias=False),
            plain(narrow, 3),
            nn.Conv2d(narrow, width, 1, bias=False),
        ),
        plain(width, 3, groups=int(groups)),
        nn.Sequential(plain(width, 3, groups=width), plain(width, 1)),
        plain(width, 1),
    ]
    drawn = draw_designs(channels, groups)
    bars = figure_of(drawn, "convolution-designs-graph").data
    for place, module in enumerate(modules):
        found = cost(module, image_size=SIDE)
        assert f"{found.params:,}" in text_of(drawn)
        assert f"{found.macs:,}" in text_of(drawn)
        total = sum(bar.x[place] or 0 for bar in bars)
        assert total == pytest.approx(found.macs / 1e6)
    assert f"{groups} groups {groups} times" in text_of(drawn)


def test_a_separable_convolution_saves_what_its_paper_says() -> None:
    """1/N + 1/k^2 of the multiply-adds (Howard et al. 2017, arXiv:1704.04861, Section 3.1)."""
    share = 1 / 256 + 1 / 9
    assert f"needs {1 / share:.1f} times fewer multiply-adds" in text_of(draw_designs(256, "32"))


def test_the_effective_field_is_that_of_the_network_with_the_same_weights() -> None:
    found = draw_effective("cifar_resnet20", "1")
    heat = figure_of(found, "convolution-effective-graph").data[0]
    model = convolution._fresh("cifar_resnet20")
    again = effective_field(model, image_size=96, stage=0, samples=convolution._SAMPLES)
    assert torch.equal(torch.tensor(heat.z), again.heat)
    assert again.theoretical is not None
    said = text_of(found)
    assert f"After stage 1 of cifar_resnet20 the field is {again.theoretical.size[0]}x" in said
    assert f"fill a square of {again.size:.0f}x{again.size:.0f}" in said


def test_a_fresh_network_is_the_same_every_time() -> None:
    first = convolution._fresh.__wrapped__("cifar_resnet20").state_dict()
    torch.manual_seed(5)
    other = convolution._fresh.__wrapped__("cifar_resnet20").state_dict()
    assert all(torch.equal(first[name], other[name]) for name in first)


def test_the_last_stage_is_the_one_with_the_highest_number() -> None:
    assert text_of(draw_effective("cifar_resnet20", "last")) == text_of(
        draw_effective("cifar_resnet20", "3")
    )


def test_a_field_beyond_the_image_is_said() -> None:
    assert "more than the image of 224" in text_of(draw_effective("mobilenet_v2", "last"))


def test_a_stage_that_a_network_lacks_is_said() -> None:
    said = text_of(draw_effective("cifar_resnet20", "4"))
    assert said == "cifar_resnet20 has 3 stages; choose one of them, or the last."


def test_all_networks_offered_are_there() -> None:
    assert set(NETWORKS) <= set(fathom.list_models())
    assert page().read("?network=vgg11&stage=2&preset=stem")["preset"] == "stem"
    assert page().read("?channels=65536&groups=0")["groups"] == "32"
