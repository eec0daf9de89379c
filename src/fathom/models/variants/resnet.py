"""The rows of the ResNet family; the network is in `fathom.models.resnet`."""

from typing import Any

from fathom.models.cards import (
    SINGLE_CROP,
    TEN_CROP,
    ModelCard,
    Published,
    Stage,
    Variant,
    errors,
    torchvision_figure,
)
from fathom.models.diagrams import chain, residual

_PAPERS = {
    "resnet": (2015, "Deep Residual Learning for Image Recognition", "1512.03385"),
    "wide": (2016, "Wide Residual Networks", "1605.07146"),
    "resnext": (
        2017,
        "Aggregated Residual Transformations for Deep Neural Networks",
        "1611.05431",
    ),
    "senet": (2017, "Squeeze-and-Excitation Networks", "1709.01507"),
}
_STEMS = {
    "imagenet": (4, "7x7 conv /2, 3x3 max pool /2"),
    "deep": (4, "3x3 conv /2, 3x3 conv, 3x3 conv, 3x3 max pool /2"),
    "cifar": (1, "3x3 conv"),
}
_CIFAR: dict[str, Any] = {
    "block": "basic",
    "depths": (3, 3, 3),
    "widths": (16, 32, 64),
    "stem": "cifar",
    "shortcut": "pad",
}
IMAGENET: dict[str, Any] = {
    "block": "bottleneck",
    "depths": (3, 4, 6, 3),
    "widths": (64, 128, 256, 512),
    "stem": "imagenet",
    "shortcut": "projection",
}
_BASIC = {"block": "basic", "depths": (2, 2, 2, 2)}
_BASIC_34 = {"block": "basic", "depths": (3, 4, 6, 3)}
_PLAIN = {"residual": False}
DEPTHS_101, DEPTHS_152 = {"depths": (3, 4, 23, 3)}, {"depths": (3, 8, 36, 3)}


def _cifar_depth(depth: int, **changes: Any) -> dict[str, Any]:
    """Section 4.2: depth = 6n + 2, n blocks in each of three stages."""
    return {**_CIFAR, "depths": ((depth - 2) // 6,) * 3, **changes}


def row(
    name: str,
    paper: str,
    spec: dict[str, Any],
    params: int,
    macs: int,
    *published: Published,
    torchvision: str = "",
    timm: str = "",
) -> Variant:
    """A row of the family: a network of one of _PAPERS with its figures."""
    year, title, arxiv = _PAPERS[paper]
    cifar = spec["stem"] == "cifar"
    size = 32 if cifar else 224
    card = ModelCard(
        name=name,
        family="resnet",
        year=year,
        paper=title,
        arxiv=arxiv,
        image_size=size,
        num_classes=10 if cifar else 1000,
        params=params,
        macs=macs,
        recipe="cifar_resnet_2015" if cifar else "default",
        stages=_stages(spec, size),
        block=_diagram(spec),
        published=published,
        torchvision=torchvision,
        timm=timm,
    )
    return Variant(card, spec)


def _stages(spec: dict[str, Any], size: int) -> tuple[Stage, ...]:
    stride, stem = _STEMS[spec["stem"]]
    expansion = 1 if spec["block"] == "basic" else 4
    width = spec["widths"][0] * (2 if spec["stem"] == "deep" else 1)
    rows = [Stage("stem", size // stride, width, 0, stem)]
    label = f"{spec['block']} block" + (", SE" if "reduction" in spec else "")
    if "groups" in spec:
        label += f", {spec['groups']} groups"
    for index, (depth, width) in enumerate(zip(spec["depths"], spec["widths"], strict=True)):
        side = size // stride // 2**index
        rows.append(Stage(f"stage {index + 1}", side, width * expansion, depth, label))
    return tuple(rows)


def _diagram(spec: dict[str, Any]) -> str:
    if spec["block"] == "basic":
        branch = ["3x3 conv, w channels, BN, ReLU", "3x3 conv, w, BN"]
    else:
        groups = f" in {spec['groups']} groups" if "groups" in spec else ""
        ratio = spec.get("groups", 1) * spec.get("group_width", 64) // 64
        inner = "w" if ratio == 1 else f"{ratio}w"
        first = f"{ratio // 2}w" if spec["block"] == "senet" else inner
        branch = [
            f"1x1 conv, {first} channels, BN, ReLU",
            f"3x3 conv{groups}, {inner}, BN, ReLU",
            "1x1 conv, 4w, BN",
        ]
    if "reduction" in spec:
        branch.append(f"squeeze and excitation, ratio {spec['reduction']}")
    if not spec.get("residual", True):
        return chain([*branch, "ReLU"])
    where_different = {
        "pad": "every second pixel, padded with zero channels",
        "projection": "1x1 conv, BN",
        "projection3x3": "3x3 conv /2, BN",
    }[spec["shortcut"]]
    return residual(branch, f"identity; where the shape changes: {where_different}", "ReLU")


def _cifar_figure(depth: int, error: float) -> Published:
    runs = "best of 5 runs" if depth == 110 else "one run"
    protocol = f"CIFAR-10, single view, {runs}"
    return errors(error, None, protocol, "arXiv:1512.03385, Table 6")


def _ten_crop(top1_error: float, top5_error: float | None, table: str) -> Published:
    return errors(top1_error, top5_error, TEN_CROP, f"arXiv:1512.03385, {table}")


def v1(top1: float, top5: float) -> Published:
    """torchvision's first weights; percent."""
    return torchvision_figure(top1, top5, "IMAGENET1K_V1")


def v2(top1: float, top5: float) -> Published:
    """torchvision's weights of its later recipe; percent."""
    return torchvision_figure(top1, top5, "IMAGENET1K_V2", resize=232)


VARIANTS = (
    row("cifar_resnet20", "resnet", _cifar_depth(20), 269_722, 40_551_040, _cifar_figure(20, 8.75)),
    row("cifar_resnet32", "resnet", _cifar_depth(32), 464_154, 68_862_592, _cifar_figure(32, 7.51)),
    row("cifar_resnet44", "resnet", _cifar_depth(44), 658_586, 97_174_144, _cifar_figure(44, 7.17)),
    row(
        "cifar_resnet56", "resnet", _cifar_depth(56), 853_018, 125_485_696, _cifar_figure(56, 6.97)
    ),
    row(
        "cifar_resnet110",
        "resnet",
        _cifar_depth(110),
        1_727_962,
        252_887_680,
        _cifar_figure(110, 6.43),
    ),
    row("cifar_plain20", "resnet", _cifar_depth(20, residual=False), 269_722, 40_551_040),
    row("cifar_plain32", "resnet", _cifar_depth(32, residual=False), 464_154, 68_862_592),
    row("cifar_plain44", "resnet", _cifar_depth(44, residual=False), 658_586, 97_174_144),
    row("cifar_plain56", "resnet", _cifar_depth(56, residual=False), 853_018, 125_485_696),
    row("cifar_se_resnet20", "senet", _cifar_depth(20, reduction=16), 272_095, 40_553_056),
    row(
        "resnet18",
        "resnet",
        {**IMAGENET, **_BASIC},
        11_689_512,
        1_814_073_344,
        _ten_crop(27.88, None, "Table 2"),
        v1(69.758, 89.078),
        torchvision="resnet18",
        timm="resnet18",
    ),
    row(
        "resnet34",
        "resnet",
        {**IMAGENET, **_BASIC_34},
        21_797_672,
        3_663_761_408,
        _ten_crop(24.52, 7.46, "Table 3, shortcut B"),
        v1(73.314, 91.42),
        torchvision="resnet34",
        timm="resnet34",
    ),
    row(
        "resnet50",
        "resnet",
        IMAGENET,
        25_557_032,
        4_089_184_256,
        _ten_crop(22.85, 6.71, "Table 3"),
        v1(76.13, 92.862),
        v2(80.858, 95.434),
        torchvision="resnet50",
        timm="resnet50",
    ),
    row(
        "resnet101",
        "resnet",
        {**IMAGENET, **DEPTHS_101},
        44_549_160,
        7_801_405_440,
        _ten_crop(21.75, 6.05, "Table 3"),
        v1(77.374, 93.546),
        v2(81.886, 95.78),
        torchvision="resnet101",
        timm="resnet101",
    ),
    row(
        "resnet152",
        "resnet",
        {**IMAGENET, **DEPTHS_152},
        60_192_808,
        11_513_626_624,
        _ten_crop(21.43, 5.71, "Table 3"),
        v1(78.312, 94.046),
        v2(82.284, 96.002),
        torchvision="resnet152",
        timm="resnet152",
    ),
    row(
        "plain18",
        "resnet",
        {**IMAGENET, **_BASIC, **_PLAIN},
        11_515_688,
        1_794_805_760,
        _ten_crop(27.94, None, "Table 2"),
    ),
    row(
        "plain34",
        "resnet",
        {**IMAGENET, **_BASIC_34, **_PLAIN},
        21_623_848,
        3_644_493_824,
        _ten_crop(28.54, None, "Table 2"),
    ),
    row(
        "wide_resnet50_2",
        "wide",
        {**IMAGENET, "group_width": 128},
        68_883_240,
        11_398_021_120,
        errors(21.9, 6.03, SINGLE_CROP, "arXiv:1605.07146, Table 8"),
        v1(78.468, 94.086),
        v2(81.602, 95.758),
        torchvision="wide_resnet50_2",
        timm="wide_resnet50_2",
    ),
)
