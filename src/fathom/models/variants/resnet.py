"""The rows of the ResNet family; the network is in `fathom.models.resnet`."""

from typing import Any

from fathom.models.cards import ModelCard, Published, Variant

_PAPER = "Deep Residual Learning for Image Recognition"
_ARXIV = "1512.03385"

_CIFAR_STAGES = {"block": "basic", "stem": "cifar", "widths": (16, 32, 64), "shortcut": "pad"}
_IMAGENET_STAGES = {"stem": "imagenet", "widths": (64, 128, 256, 512), "shortcut": "projection"}


def _cifar(name: str, depth: int, params: int, macs: int, *published: Published) -> Variant:
    """A row of Section 4.2: depth = 6n + 2, n blocks in each of three stages."""
    blocks = (depth - 2) // 6
    residual = not name.startswith("cifar_plain")
    return Variant(
        ModelCard(
            name=name,
            family="resnet",
            year=2015,
            paper=_PAPER,
            arxiv=_ARXIV,
            image_size=32,
            num_classes=10,
            in_channels=3,
            params=params,
            macs=macs,
            recipe="cifar_resnet_2015",
            published=published,
        ),
        {**_CIFAR_STAGES, "depths": (blocks,) * 3, "residual": residual},
    )


def _cifar_figure(depth: int, error: float) -> Published:
    runs = "best of 5 runs" if depth == 110 else "one run"
    return Published(
        top1=round(1 - error / 100, 4),
        top5=None,
        protocol=f"CIFAR-10 test set, single view, {runs}",
        source=f"arXiv:{_ARXIV}, Table 6",
    )


def _imagenet(
    name: str, block: str, depths: tuple[int, ...], params: int, macs: int, *published: Published
) -> Variant:
    """A row of Table 1."""
    spec: dict[str, Any] = {**_IMAGENET_STAGES, "block": block, "depths": depths}
    spec["residual"] = not name.startswith("plain")
    return Variant(
        ModelCard(
            name=name,
            family="resnet",
            year=2015,
            paper=_PAPER,
            arxiv=_ARXIV,
            image_size=224,
            num_classes=1000,
            in_channels=3,
            params=params,
            macs=macs,
            recipe="default",
            published=published,
        ),
        spec,
    )


def _ten_crop(top1_error: float, top5_error: float | None, table: str) -> Published:
    return Published(
        top1=round(1 - top1_error / 100, 4),
        top5=None if top5_error is None else round(1 - top5_error / 100, 4),
        protocol="ImageNet validation, 10-crop",
        source=f"arXiv:{_ARXIV}, {table}",
    )


def _torchvision(top1: float, top5: float, weights: str) -> Published:
    resize = 232 if weights.endswith("V2") else 256
    return Published(
        top1=round(top1 / 100, 5),
        top5=round(top5 / 100, 5),
        protocol=f"ImageNet validation, single centre crop 224, short side {resize}",
        source=f"torchvision {weights}",
    )


VARIANTS = (
    _cifar("cifar_resnet20", 20, 269_722, 40_551_040, _cifar_figure(20, 8.75)),
    _cifar("cifar_resnet32", 32, 464_154, 68_862_592, _cifar_figure(32, 7.51)),
    _cifar("cifar_resnet44", 44, 658_586, 97_174_144, _cifar_figure(44, 7.17)),
    _cifar("cifar_resnet56", 56, 853_018, 125_485_696, _cifar_figure(56, 6.97)),
    _cifar("cifar_resnet110", 110, 1_727_962, 252_887_680, _cifar_figure(110, 6.43)),
    _cifar("cifar_plain20", 20, 269_722, 40_551_040),
    _cifar("cifar_plain32", 32, 464_154, 68_862_592),
    _cifar("cifar_plain44", 44, 658_586, 97_174_144),
    _cifar("cifar_plain56", 56, 853_018, 125_485_696),
    _imagenet(
        "resnet18",
        "basic",
        (2, 2, 2, 2),
        11_689_512,
        1_814_073_344,
        _ten_crop(27.88, None, "Table 2"),
        _torchvision(69.758, 89.078, "IMAGENET1K_V1"),
    ),
    _imagenet(
        "resnet34",
        "basic",
        (3, 4, 6, 3),
        21_797_672,
        3_663_761_408,
        _ten_crop(24.52, 7.46, "Table 3, shortcut B"),
        _torchvision(73.314, 91.42, "IMAGENET1K_V1"),
    ),
    _imagenet(
        "resnet50",
        "bottleneck",
        (3, 4, 6, 3),
        25_557_032,
        4_089_184_256,
        _ten_crop(22.85, 6.71, "Table 3"),
        _torchvision(76.13, 92.862, "IMAGENET1K_V1"),
        _torchvision(80.858, 95.434, "IMAGENET1K_V2"),
    ),
    _imagenet(
        "resnet101",
        "bottleneck",
        (3, 4, 23, 3),
        44_549_160,
        7_801_405_440,
        _ten_crop(21.75, 6.05, "Table 3"),
        _torchvision(77.374, 93.546, "IMAGENET1K_V1"),
        _torchvision(81.886, 95.78, "IMAGENET1K_V2"),
    ),
    _imagenet(
        "resnet152",
        "bottleneck",
        (3, 8, 36, 3),
        60_192_808,
        11_513_626_624,
        _ten_crop(21.43, 5.71, "Table 3"),
        _torchvision(78.312, 94.046, "IMAGENET1K_V1"),
        _torchvision(82.284, 96.002, "IMAGENET1K_V2"),
    ),
    _imagenet(
        "plain18",
        "basic",
        (2, 2, 2, 2),
        11_515_688,
        1_794_805_760,
        _ten_crop(27.94, None, "Table 2"),
    ),
    _imagenet(
        "plain34",
        "basic",
        (3, 4, 6, 3),
        21_623_848,
        3_644_493_824,
        _ten_crop(28.54, None, "Table 2"),
    ),
)
