"""The rows of the DenseNet family; the network is in `fathom.models.densenet`."""

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
from fathom.models.diagrams import parallel

_STEMS = {
    "imagenet": (4, "7x7 conv /2, 3x3 max pool /2"),
    "cifar": (1, "3x3 conv"),
}
_BC: dict[str, Any] = {"growth": 32, "stem": "imagenet", "stem_width": 64}


def _row(
    name: str,
    spec: dict[str, Any],
    params: int,
    macs: int,
    *published: Published,
    peer: str = "",
) -> Variant:
    cifar = spec["stem"] == "cifar"
    size = 32 if cifar else 224
    card = ModelCard(
        name=name,
        family="densenet",
        year=2017,
        paper="Densely Connected Convolutional Networks",
        arxiv="1608.06993",
        image_size=size,
        num_classes=10 if cifar else 1000,
        params=params,
        macs=macs,
        stages=_stages(spec, size),
        block=_diagram(spec),
        published=published,
        torchvision=peer,
        timm=peer,
    )
    return Variant(card, spec)


def _stages(spec: dict[str, Any], size: int) -> tuple[Stage, ...]:
    stride, stem = _STEMS[spec["stem"]]
    growth, channels = spec["growth"], spec["stem_width"]
    rows = [Stage("stem", size // stride, channels, 0, stem)]
    kind = "dense" if spec.get("bottleneck", True) else "basic dense"
    for index, depth in enumerate(spec["depths"]):
        label = f"{kind} layer, growth {growth}"
        if index:
            channels = int(spec.get("compression", 0.5) * channels)
            label = f"transition to {channels}; {label}"
        channels += depth * growth
        rows.append(Stage(f"stage {index + 1}", size // stride // 2**index, channels, depth, label))
    return tuple(rows)


def _diagram(spec: dict[str, Any]) -> str:
    growth = spec["growth"]
    steps = [f"BN, ReLU, 3x3 conv, {growth} channels"]
    if spec.get("bottleneck", True):
        steps.insert(0, f"BN, ReLU, 1x1 conv, {4 * growth} channels")
    return parallel([steps, ["all earlier maps"]], "concatenation")


def _paper(
    top1: float, top5: float, ten_top1: float, ten_top5: float, source: str = "Table 3"
) -> tuple[Published, Published]:
    """Errors of a single crop and of ten."""
    source = f"arXiv:1608.06993, {source}"
    return errors(top1, top5, SINGLE_CROP, source), errors(ten_top1, ten_top5, TEN_CROP, source)


def _v1(top1: float, top5: float) -> Published:
    return torchvision_figure(top1, top5, "IMAGENET1K_V1")


def _cifar(error: float, setting: str) -> Published:
    return errors(error, None, f"CIFAR-10 test set, {setting}", "arXiv:1608.06993, Table 2")


VARIANTS = (
    _row(
        "cifar_densenet40_k12",
        {
            "growth": 12,
            "depths": (12, 12, 12),
            "stem": "cifar",
            "stem_width": 16,
            "bottleneck": False,
            "compression": 1.0,
        },
        1_019_722,
        264_812_928,
        _cifar(5.24, "trained with shifts and flips"),
        _cifar(7.0, "trained without augmentation, dropout 0.2"),
    ),
    _row(
        "densenet121",
        {**_BC, "depths": (6, 12, 24, 16)},
        7_978_856,
        2_834_161_664,
        *_paper(25.02, 7.71, 23.61, 6.66),
        _v1(74.434, 91.972),
        peer="densenet121",
    ),
    _row(
        "densenet161",
        {**_BC, "growth": 48, "depths": (6, 12, 36, 24), "stem_width": 96},
        28_681_000,
        7_727_907_072,
        *_paper(22.33, 6.15, 20.85, 5.30, "Table 3 of the CVPR 2017 version"),
        _v1(77.138, 93.56),
        peer="densenet161",
    ),
    _row(
        "densenet169",
        {**_BC, "depths": (6, 12, 32, 32)},
        14_149_480,
        3_359_843_328,
        *_paper(23.80, 6.85, 22.08, 5.92),
        _v1(75.6, 92.806),
        peer="densenet169",
    ),
    _row(
        "densenet201",
        {**_BC, "depths": (6, 12, 48, 32)},
        20_013_928,
        4_291_365_888,
        *_paper(22.58, 6.34, 21.46, 5.54),
        _v1(76.896, 93.37),
        peer="densenet201",
    ),
)
