"""The rows of the EfficientNet family; the network is in `fathom.models.efficientnet`."""

import math
from typing import Any

from fathom.models.cards import ModelCard, Published, Stage, Variant, torchvision_figure
from fathom.models.diagrams import residual

# arXiv:1905.11946, Table 1: width, depth, stride, kernel, expansion of stages 2 to 8.
_BASELINE = (
    (16, 1, 1, 3, 1),
    (24, 2, 2, 3, 6),
    (40, 2, 2, 5, 6),
    (80, 3, 2, 3, 6),
    (112, 3, 1, 5, 6),
    (192, 4, 2, 5, 6),
    (320, 1, 1, 3, 6),
)
# The settings of the reference code's batch norms, which B5 to B7 and lite keep.
_REFERENCE_NORM = {"norm_eps": 1e-3, "norm_momentum": 0.01}
_PADDING = {"padding": "same"}


def _row(
    name: str,
    spec: dict[str, Any],
    size: int,
    costs: tuple[int, int],
    *published: Published,
    torchvision: str = "",
    timm: str = "",
) -> Variant:
    lite = spec.get("lite", False)
    card = ModelCard(
        name=name,
        family="efficientnet",
        year=2020 if lite else 2019,
        paper="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        arxiv="1905.11946",
        image_size=size,
        params=costs[0],
        macs=costs[1],
        stages=_stages(spec, size),
        block=_diagram(lite),
        published=published,
        torchvision=torchvision,
        timm=timm,
    )
    return Variant(card, spec)


def _stages(spec: dict[str, Any], size: int) -> tuple[Stage, ...]:
    lite, side = spec.get("lite", False), math.ceil(size / 2)
    stem = 32 if lite else _rounded(32 * spec["width"])
    rows = [Stage("stem", side, stem, 0, "3x3 conv /2")]
    for index, (width, depth, stride, kernel, expansion) in enumerate(_BASELINE):
        side = math.ceil(side / stride)
        fixed = lite and index in (0, len(_BASELINE) - 1)
        depth = depth if fixed else math.ceil(depth * spec["depth"])
        label = f"{kernel}x{kernel} MBConv, expansion {expansion}" + ("" if lite else ", SE")
        rows.append(
            Stage(f"stage {index + 1}", side, _rounded(width * spec["width"]), depth, label)
        )
    return tuple(rows)


def _rounded(channels: float) -> int:
    """To a multiple of 8, never below 90 %: `fathom.layers.make_divisible` without torch."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _diagram(lite: bool) -> str:
    act = "ReLU6" if lite else "SiLU"
    branch = [
        f"1x1 conv, 6w channels, BN, {act}; not where the expansion is 1",
        f"kxk depthwise conv, 6w, BN, {act}",
        "squeeze and excitation through w / 4",
        "1x1 conv, w' channels, BN",
    ]
    if lite:
        del branch[2]
    return residual(branch, "identity; none where the shape changes")


def _percent(top1: float, top5: float | None, protocol: str, source: str) -> Published:
    return Published(
        round(top1 / 100, 5), None if top5 is None else round(top5 / 100, 5), protocol, source
    )


def _b(
    number: int,
    coefficients: tuple[float, float, int, float],
    costs: tuple[int, int],
    accuracies: tuple[float, float],
    *published: Published,
    **norm: float,
) -> Variant:
    """B0 to B7 by (width, depth, resolution, dropout) of the reference code."""
    width, depth, size, dropout = coefficients
    name = f"efficientnet_b{number}"
    protocol = f"ImageNet, centre crop {size}"
    paper = _percent(*accuracies, protocol, "arXiv:1905.11946v5, Table 2")
    return _row(
        name,
        {"width": width, "depth": depth, "dropout": dropout, **norm},
        size,
        costs,
        paper,
        *published,
        torchvision=name,
        timm="" if norm else name,  # timm's B5 to B7 have other norm settings
    )


def _lite(
    number: int,
    coefficients: tuple[float, float, int, float],
    costs: tuple[int, int],
    accuracy: float,
    timm: tuple[float, float],
) -> Variant:
    """Lite by the same coefficients; accuracies of the reference code's and of timm's tables."""
    width, depth, size, dropout = coefficients
    spec = {"width": width, "depth": depth, "dropout": dropout, "lite": True}
    reference = _percent(
        accuracy,
        None,
        f"ImageNet, {size} pixels, float32",
        "github.com/tensorflow/tpu, models/official/efficientnet/lite",
    )
    converted = _percent(
        *timm,
        f"ImageNet, centre crop {size}, short side {size + 32}",
        f"timm results-imagenet.csv, tf_efficientnet_lite{number}.in1k",
    )
    return _row(
        f"efficientnet_lite{number}",
        {**spec, **_REFERENCE_NORM, **_PADDING},
        size,
        costs,
        reference,
        converted,
        timm=f"tf_efficientnet_lite{number}",
    )


def _v1(top1: float, top5: float, crop: int, resize: int) -> Published:
    return torchvision_figure(top1, top5, "IMAGENET1K_V1", crop=crop, resize=resize)


VARIANTS = (
    _b(
        0,
        (1.0, 1.0, 224, 0.2),
        (5_288_548, 385_814_752),
        (77.1, 93.3),
        _v1(77.692, 93.532, 224, 256),
    ),
    _b(
        1,
        (1.0, 1.1, 240, 0.2),
        (7_794_184, 686_802_832),
        (79.1, 94.4),
        _v1(78.642, 94.186, 240, 256),
        torchvision_figure(79.838, 94.934, "IMAGENET1K_V2", crop=240, resize=255),
    ),
    _b(
        2,
        (1.1, 1.2, 260, 0.3),
        (9_109_994, 993_561_872),
        (80.1, 94.9),
        _v1(80.608, 95.31, 288, 288),
    ),
    _b(
        3,
        (1.2, 1.4, 300, 0.3),
        (12_233_232, 1_827_141_392),
        (81.6, 95.7),
        _v1(82.008, 96.054, 300, 320),
    ),
    _b(
        4,
        (1.4, 1.8, 380, 0.4),
        (19_341_616, 4_393_771_024),
        (82.9, 96.4),
        _v1(83.384, 96.594, 380, 384),
    ),
    _b(
        5,
        (1.6, 2.2, 456, 0.4),
        (30_389_784, 10_266_384_752),
        (83.6, 96.7),
        _v1(83.444, 96.628, 456, 456),
        **_REFERENCE_NORM,
    ),
    _b(
        6,
        (1.8, 2.6, 528, 0.5),
        (43_040_704, 19_067_593_536),
        (84.0, 96.8),
        _v1(84.008, 96.916, 528, 528),
        **_REFERENCE_NORM,
    ),
    _b(
        7,
        (2.0, 3.1, 600, 0.5),
        (66_347_960, 37_745_884_192),
        (84.3, 97.0),
        _v1(84.122, 96.908, 600, 600),
        **_REFERENCE_NORM,
    ),
    _lite(0, (1.0, 1.0, 224, 0.2), (4_652_008, 385_187_552), 75.1, (74.83, 92.172)),
    _lite(1, (1.0, 1.1, 240, 0.2), (5_416_680, 600_185_232), 76.7, (76.644, 93.23)),
    _lite(2, (1.1, 1.2, 260, 0.3), (6_092_072, 859_736_272), 77.6, (77.464, 93.75)),
)
