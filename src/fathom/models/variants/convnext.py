"""The rows of ConvNeXt; the network is in `fathom.models.convnext`."""

from typing import Any

from fathom.models.cards import (
    SINGLE_CROP,
    ModelCard,
    Published,
    Stage,
    Variant,
    torchvision_figure,
)
from fathom.models.diagrams import residual

_WHOLE_384 = "ImageNet, whole image at 384"
_PRETRAINED = ", pretrained on ImageNet-22k"
_DIAGRAM = residual(
    [
        "7x7 depthwise conv, w channels, LN",
        "linear in each pixel, 4w, GELU",
        "linear in each pixel, w",
        "each channel times its own factor",
    ],
    "identity",
)


def _row(
    name: str,
    spec: dict[str, Any],
    params: int,
    macs: int,
    *published: Published,
    torchvision: str = "",
) -> Variant:
    card = ModelCard(
        name=name,
        family="convnext",
        year=2022,
        paper="A ConvNet for the 2020s",
        arxiv="2201.03545",
        params=params,
        macs=macs,
        stages=tuple(_stages(spec)),
        block=_DIAGRAM,
        published=published,
        torchvision=torchvision,
        timm=name,
    )
    return Variant(card, spec)


def _stages(spec: dict[str, Any]) -> list[Stage]:
    rows = [Stage("stem", 56, spec["widths"][0], 0, "4x4 conv /4, LN")]
    for index, (depth, width) in enumerate(zip(spec["depths"], spec["widths"], strict=True)):
        before = "LN, 2x2 conv /2, " if index else ""
        label = f"{before}7x7 depthwise blocks"
        rows.append(Stage(f"stage {index + 1}", 56 // 2**index, width, depth, label))
    return rows


def _spec(width: int, third: int, stochastic_depth: float) -> dict[str, Any]:
    """Section 3: channels double from stage to stage, and the third stage is the deep one."""
    return {
        "depths": (3, 3, third, 3),
        "widths": (width, 2 * width, 4 * width, 8 * width),
        "stochastic_depth": stochastic_depth,
    }


def _paper(top1: float, size: int = 224, *, pretrained: bool = False) -> Published:
    """Table 1; Appendix A.2 says how images are cropped at either size. Percent."""
    protocol = SINGLE_CROP if size == 224 else _WHOLE_384
    protocol += _PRETRAINED if pretrained else ""
    return Published(round(top1 / 100, 5), None, protocol, "arXiv:2201.03545, Table 1")


def _v1(top1: float, top5: float, resize: int) -> Published:
    return torchvision_figure(top1, top5, "IMAGENET1K_V1", resize=resize)


VARIANTS = (
    _row(
        "convnext_tiny",
        _spec(96, 9, 0.1),
        28_589_128,
        4_455_531_264,
        _paper(82.1),
        _paper(82.9, pretrained=True),
        _paper(84.1, 384, pretrained=True),
        _v1(82.52, 96.146, 236),
        torchvision="convnext_tiny",
    ),
    _row(
        "convnext_small",
        _spec(96, 27, 0.4),
        50_223_688,
        8_683_712_256,
        _paper(83.1),
        _paper(84.6, pretrained=True),
        _paper(85.8, 384, pretrained=True),
        _v1(83.616, 96.65, 230),
        torchvision="convnext_small",
    ),
    _row(
        "convnext_base",
        _spec(128, 27, 0.5),
        88_591_464,
        15_354_729_472,
        _paper(83.8),
        _paper(85.1, 384),
        _paper(85.8, pretrained=True),
        _paper(86.8, 384, pretrained=True),
        _v1(84.062, 96.87, 232),
        torchvision="convnext_base",
    ),
    _row(
        "convnext_large",
        _spec(192, 27, 0.5),
        197_767_336,
        34_361_433_600,
        _paper(84.3),
        _paper(85.5, 384),
        _paper(86.6, pretrained=True),
        _paper(87.5, 384, pretrained=True),
        _v1(84.414, 96.976, 232),
        torchvision="convnext_large",
    ),
    # Never trained on ImageNet-1k alone: the rate is that of the pretraining column.
    _row(
        "convnext_xlarge",
        _spec(256, 27, 0.2),
        350_196_968,
        60_921_030_656,
        _paper(87.0, pretrained=True),
        _paper(87.8, 384, pretrained=True),
    ),
)
