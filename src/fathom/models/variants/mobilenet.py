"""The rows of the MobileNet family; the network is in `fathom.models.mobilenet`."""

from typing import Any

from fathom.models.cards import ModelCard, Published, Stage, Variant, torchvision_figure
from fathom.models.diagrams import chain, residual

_PAPERS = {
    "separable": (
        2017,
        "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
        "1704.04861",
    ),
    "inverted": (
        2018,
        "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        "1801.04381",
    ),
}
_DIAGRAMS = {
    "separable": chain(
        [
            "3x3 depthwise conv, w channels, BN, ReLU6",
            "1x1 conv, w' channels, BN, ReLU6",
        ]
    ),
    "inverted": residual(
        [
            "1x1 conv, 6w channels, BN, ReLU6; not where the expansion is 1",
            "3x3 depthwise conv, 6w, BN, ReLU6",
            "1x1 conv, w' channels, BN",
        ],
        "identity; none where the shape changes",
    ),
}


def _row(
    name: str,
    spec: dict[str, Any],
    params: int,
    macs: int,
    *published: Published,
    torchvision: str = "",
    timm: str = "",
) -> Variant:
    year, title, arxiv = _PAPERS[spec["block"]]
    card = ModelCard(
        name=name,
        family="mobilenet",
        year=year,
        paper=title,
        arxiv=arxiv,
        params=params,
        macs=macs,
        stages=_stages(spec),
        block=_DIAGRAMS[spec["block"]],
        published=published,
        torchvision=torchvision,
        timm=timm,
    )
    return Variant(card, spec)


def _stages(spec: dict[str, Any]) -> tuple[Stage, ...]:
    side = 112
    rows = [Stage("stem", side, 32, 0, "3x3 conv /2")]
    for index, width in enumerate(spec["widths"]):
        side //= spec["strides"][index]
        label = "depthwise separable convolution"
        if spec["block"] == "inverted":
            label = f"inverted residual, expansion {spec['expansions'][index]}"
        rows.append(Stage(f"stage {index + 1}", side, width, spec["depths"][index], label))
    return tuple(rows)


VARIANTS = (
    _row(
        "mobilenet_v1",
        {
            "block": "separable",
            "depths": (1, 2, 2, 6, 2),
            "widths": (64, 128, 256, 512, 1024),
            "strides": (1, 2, 2, 2, 2),
            "dropout": 0.001,
        },
        4_231_976,
        568_740_352,
        Published(0.706, None, "ImageNet, 224 pixels", "arXiv:1704.04861, Table 8"),
        timm="mobilenetv1_100",
    ),
    _row(
        "mobilenet_v2",
        {
            "block": "inverted",
            "depths": (1, 2, 3, 4, 3, 3, 1),
            "widths": (16, 24, 32, 64, 96, 160, 320),
            "strides": (1, 2, 2, 2, 1, 2, 1),
            "expansions": (1, 6, 6, 6, 6, 6, 6),
            "head_width": 1280,
            "dropout": 0.2,
        },
        3_504_872,
        300_774_272,
        Published(0.72, None, "ImageNet, 224 pixels", "arXiv:1801.04381, Table 4"),
        torchvision_figure(71.878, 90.286, "IMAGENET1K_V1"),
        torchvision_figure(72.154, 90.822, "IMAGENET1K_V2", resize=232),
        torchvision="mobilenet_v2",
        timm="mobilenetv2_100",
    ),
)
