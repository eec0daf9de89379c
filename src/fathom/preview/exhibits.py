"""Every augmentation that a recipe can hold, one by one, with the strength it was published with.

    EXHIBITS["cutmix"].settings(1.0)        AugmentSettings with CutMix of alpha 1 and nothing else

Sizes in pixels are for pictures of 224.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fathom.data.policies import strongest
from fathom.data.settings import (
    AugmentSettings,
    ColourJitter,
    CutMix,
    Mixup,
    MixupOrCutMix,
    PadCrop,
    RandAugment,
    RandomErasing,
    ResizedCrop,
    ScaleCrop,
    TrivialAugment,
)
from fathom.keeps.names import PLAIN
from fathom.recipes.tricks import TRICKS

SIDE = 224
_MIDDLE, _END = 5, 10  # places of the published and of the strongest value


@dataclass(frozen=True)
class Strength:
    """The parameter that a slider moves: its weakest value, the published one, and the strongest.

    words: the value with its unit, a format; source: where the published one is from; whole: values
    are whole numbers.
    """

    words: str
    weakest: float
    published: float
    strongest: float
    source: str
    whole: bool = False

    def value(self, place: float) -> float:
        """A place from 0 to 10 -> the value: the published at 5, the ends at 0 and 10, and between
        them in proportion. Whole values are rounded."""
        low, high, part = self.weakest, self.published, place / _MIDDLE
        if place > _MIDDLE:
            low, high, part = self.published, self.strongest, (place - _MIDDLE) / (_END - _MIDDLE)
        found = (1 - part) * low + part * high
        return float(round(found)) if self.whole else found

    def said(self, value: float) -> str:
        """A value in words, with its unit."""
        return self.words.format(value)


@dataclass(frozen=True)
class Exhibit:
    """One augmentation: its name, what it does and whence, and its settings by its strength.

    strength is None where there is nothing to set. change names the change of the policy that is
    shown, where it is one. check is what `fathom augment check` calls it, where it can be checked.
    """

    label: str
    what: str
    settings: Callable[[float], AugmentSettings]
    strength: Strength | None = None
    change: str | None = None
    check: str | None = None

    @property
    def mixes(self) -> bool:
        """Whether it makes one picture of two."""
        value = self.strength.published if self.strength else 0.0
        return self.settings(value).mix is not None


_CHANGES = {
    "shear_x": "slanted sideways",
    "shear_y": "slanted up or down",
    "translate_x": "moved left or right",
    "translate_y": "moved up or down",
    "rotate": "turned about its centre",
    "brightness": "made darker or lighter",
    "colour": "colours made paler or stronger",
    "contrast": "contrast made weaker or stronger",
    "sharpness": "blurred or sharpened",
    "posterize": "fewer levels of each colour",
    "solarize": "what is light enough is inverted",
    "auto_contrast": "each colour stretched from black to white",
    "equalize": "each colour spread over all its levels evenly",
    "identity": "nothing, which a policy may draw, too",
}
_POLICY = "of RandAugment's table (Cubuk et al. 2019, arXiv:1909.13719)"
_BETA = (
    "shares come from Beta(alpha, alpha): below 1 mostly near one picture, at 1 any alike, above 1 "
    "mostly near halves"
)
_NINE = Strength(
    "magnitude {:.2g} of 10, give or take a deviation of 0.5",
    1.0,
    9.0,
    10.0,
    "ConvNeXt's recipe, Liu et al. 2022, arXiv:2201.03545, Table 5",
)


def _mixing() -> dict[str, Exhibit]:
    return {
        "cutmix": Exhibit(
            "CutMix",
            f"{TRICKS['cutmix'].what}; {_BETA}",
            lambda alpha: replace(PLAIN, mix=CutMix(alpha)),
            Strength("alpha {:.2g}", 0.1, 1.0, 8.0, "Yun et al. 2019, arXiv:1905.04899"),
        ),
        "mixup": Exhibit(
            "Mixup",
            f"{TRICKS['mixup'].what}; {_BETA}",
            lambda alpha: replace(PLAIN, mix=Mixup(alpha)),
            Strength(
                "alpha {:.2g}",
                0.05,
                0.2,
                8.0,
                "Zhang et al. 2017, arXiv:1710.09412, which has 0.1 to 0.4 for ImageNet",
            ),
        ),
        "mixup-or-cutmix": Exhibit(
            "Mixup or CutMix",
            TRICKS["mixup-or-cutmix"].what,
            lambda share: replace(PLAIN, mix=MixupOrCutMix(switch=share)),
            Strength(
                "CutMix for {:.0%} of the batches, mixup of alpha 0.8 for the others",
                0.1,
                0.5,
                0.9,
                "even, as in Wightman et al. 2021, arXiv:2110.00476",
            ),
        ),
    }


def _crops() -> dict[str, Exhibit]:
    return {
        "resized-crop": Exhibit(
            "Random resized crop",
            TRICKS["resized-crop"].what,
            lambda area: replace(PLAIN, crop=ResizedCrop(min_area=area)),
            Strength(
                "at least {:.0%} of the picture's area",
                0.9,
                0.08,
                0.01,
                "Szegedy et al. 2014, arXiv:1409.4842, Section 6",
            ),
            check="resized-crop",
        ),
        "scale-crop": Exhibit(
            "Random scale",
            TRICKS["scale-crop"].what,
            lambda side: replace(PLAIN, crop=ScaleCrop(high=side / SIDE)),
            Strength(
                "short side of 256 to {:.0f} pixels, of which 224 are cut out",
                256,
                480,
                960,
                "He et al. 2015, arXiv:1512.03385, Section 3.4",
                whole=True,
            ),
        ),
        "crop": Exhibit(
            "Padded crop",
            TRICKS["crop"].what,
            lambda pixels: replace(PLAIN, crop=PadCrop(round(pixels), "mean")),
            Strength(
                "moved by up to {:.0f} pixels of 224",
                7,
                28,
                112,
                "an eighth of the side, as 4 of 32 pixels in He et al. 2015, arXiv:1512.03385, "
                "Section 4.2",
                whole=True,
            ),
            check="shift",
        ),
    }


def _flips() -> dict[str, Exhibit]:
    return {
        "flip": Exhibit(
            "Flip",
            TRICKS["flip"].what,
            lambda _: replace(PLAIN, flip=True),
            check="horizontal-flip",
        ),
        "alternating-flip": Exhibit(
            "Alternating flip",
            TRICKS["alternating-flip"].what,
            lambda _: replace(PLAIN, flip="alternating"),
            check="horizontal-flip",
        ),
        "vertical-flip": Exhibit(
            "Vertical flip",
            TRICKS["vertical-flip"].what,
            lambda _: replace(PLAIN, vertical_flip=True),
            check="vertical-flip",
        ),
    }


def _colours() -> dict[str, Exhibit]:
    return {
        "jitter": Exhibit(
            "Colour jitter",
            TRICKS["jitter"].what,
            lambda s: replace(PLAIN, jitter=ColourJitter(s, s, s)),
            Strength(
                "brightness, contrast and saturation times 1 ± {:.2g}, at least 0",
                0.1,
                0.5,
                1.5,
                "Howard 2013, arXiv:1312.5402, Section 2.2",
            ),
            check="jitter",
        ),
        "hue": Exhibit(
            "Hue",
            "colours turned around the circle (a part of colour jitter)",
            lambda turn: replace(PLAIN, jitter=ColourJitter(0, 0, 0, turn)),
            Strength(
                "up to ± {:.2g} turns",
                0.02,
                0.2,
                0.5,
                "SimCLR, Chen et al. 2020, arXiv:2002.05709, Appendix A",
            ),
            check="hue",
        ),
        "lighting": Exhibit(
            "Lighting",
            TRICKS["lighting"].what,
            lambda std: replace(PLAIN, lighting=std),
            Strength(
                "deviation {:.2g}", 0.02, 0.1, 1.0, "AlexNet, Krizhevsky et al. 2012, Section 4.1"
            ),
        ),
    }


def _holes() -> dict[str, Exhibit]:
    return {
        "cutout": Exhibit(
            "Cutout",
            "a square of the mean colour (DeVries and Taylor 2017, arXiv:1708.04552)",
            lambda pixels: replace(PLAIN, cutout=round(pixels)),
            Strength(
                "a square of {:.0f} pixels, of 224",
                16,
                112,
                224,
                "half the side, as 16 of 32 pixels for CIFAR-10 in DeVries and Taylor 2017",
                whole=True,
            ),
            check="cutout",
        ),
        "erasing": Exhibit(
            "Random erasing",
            TRICKS["erasing"].what,
            lambda area: replace(PLAIN, erase=RandomErasing(probability=1, max_area=area)),
            Strength(
                "a box over 2% to {:.0%} of the area, here in every picture",
                0.05,
                0.4,
                0.9,
                "Zhong et al. 2017, arXiv:1708.04896, the authors' code",
            ),
            check="erasing",
        ),
    }


def _policies() -> dict[str, Exhibit]:
    found = {
        "randaugment": Exhibit(
            "RandAugment",
            TRICKS["randaugment"].what,
            lambda magnitude: replace(PLAIN, policy=RandAugment(2, magnitude, std=0.5)),
            _NINE,
            check="randaugment",
        ),
        "trivialaugment": Exhibit(
            "TrivialAugment",
            TRICKS["trivialaugment"].what,
            lambda _: replace(PLAIN, policy=TrivialAugment()),
            check="trivialaugment",
        ),
    }
    limits = strongest(RandAugment(), SIDE, SIDE)
    for name, limit in limits.items():
        found[name] = Exhibit(
            f"One change: {name.replace('_', ' ')}",
            f"{_CHANGES[name]}; {_POLICY}",
            lambda magnitude: replace(PLAIN, policy=RandAugment(1, magnitude, std=0.5)),
            _NINE if limit else None,
            change=name,
        )
    return found


EXHIBITS: Mapping[str, Exhibit] = {
    **_mixing(),
    **_crops(),
    **_flips(),
    **_colours(),
    **_holes(),
    **_policies(),
}
