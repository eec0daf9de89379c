"""The rows of ResNeXt and SENet; the network is in `fathom.models.resnet`."""

from fathom.models.cards import SINGLE_CROP, Published, errors, torchvision_figure
from fathom.models.variants.resnet import DEPTHS_101, DEPTHS_152, IMAGENET, row, v1, v2

_RESNEXT_50 = {"groups": 32, "group_width": 4}
_SE = {"reduction": 16}


def _resnext(top1_error: float, top5_error: float | None, table: str) -> Published:
    return errors(top1_error, top5_error, SINGLE_CROP, f"arXiv:1611.05431, {table}")


def _senet(top1_error: float, top5_error: float, table: str = "Table 2") -> Published:
    return errors(top1_error, top5_error, SINGLE_CROP, f"arXiv:1709.01507, {table}")


VARIANTS = (
    row(
        "resnext50_32x4d",
        "resnext",
        {**IMAGENET, **_RESNEXT_50},
        25_028_904,
        4_230_479_872,
        _resnext(22.2, None, "Table 3"),
        v1(77.618, 93.698),
        v2(81.198, 95.34),
        torchvision="resnext50_32x4d",
        timm="resnext50_32x4d",
    ),
    row(
        "resnext101_32x8d",
        "resnext",
        {**IMAGENET, **DEPTHS_101, "groups": 32, "group_width": 8},
        88_791_336,
        16_414_015_488,
        v1(79.312, 94.526),
        v2(82.834, 96.228),
        torchvision="resnext101_32x8d",
        timm="resnext101_32x8d",
    ),
    row(
        "resnext101_64x4d",
        "resnext",
        {**IMAGENET, **DEPTHS_101, "groups": 64, "group_width": 4},
        83_455_272,
        15_460_270_080,
        _resnext(20.4, 5.3, "Table 4"),
        torchvision_figure(83.246, 96.454, "IMAGENET1K_V1", resize=232),
        torchvision="resnext101_64x4d",
        timm="resnext101_64x4d",
    ),
    row(
        "se_resnet50",
        "senet",
        {**IMAGENET, **_SE},
        28_088_024,
        4_091_699_200,
        _senet(23.29, 6.62),
        timm="seresnet50",
    ),
    row(
        "se_resnet101",
        "senet",
        {**IMAGENET, **_SE, **DEPTHS_101},
        49_326_872,
        7_806_148_608,
        _senet(22.38, 6.07),
        timm="seresnet101",
    ),
    row(
        "se_resnet152",
        "senet",
        {**IMAGENET, **_SE, **DEPTHS_152},
        66_821_848,
        11_520_204_800,
        _senet(21.57, 5.73),
        timm="seresnet152",
    ),
    row(
        "se_resnext50_32x4d",
        "senet",
        {**IMAGENET, **_SE, **_RESNEXT_50},
        27_559_896,
        4_232_994_816,
        _senet(21.10, 5.49),
        timm="seresnext50_32x4d",
    ),
    row(
        "senet154",
        "senet",
        {
            **IMAGENET,
            **_SE,
            **DEPTHS_152,
            "block": "senet",
            "stem": "deep",
            "shortcut": "projection3x3",
            "groups": 64,
            "group_width": 4,
            "dropout": 0.2,
        },
        115_088_984,
        20_688_363_520,
        _senet(18.68, 4.47, "Table 8"),
        timm="senet154",
    ),
)
