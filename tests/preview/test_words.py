"""Each random thing has its phrase, and what is not random has none."""

import pytest

from fathom.data.batches import Drawn
from fathom.data.settings import (
    AugmentSettings,
    ColourJitter,
    CutMix,
    Mixup,
    MixupOrCutMix,
    NoCrop,
    PadCrop,
    RandAugment,
    RandomErasing,
    ResizedCrop,
    ScaleCrop,
    TrivialAugment,
)
from fathom.preview.words import difference, what_differs, what_is_random, what_was_drawn
from tests.images import noise

NOTHING = AugmentSettings(NoCrop(), flip=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crop": PadCrop(4, "mean")}, "shifted by up to 4 pixels, filled with the mean"),
        ({"crop": PadCrop(1, "black")}, "shifted by up to 1 pixel, filled black"),
        (
            {"crop": ResizedCrop(0.08)},
            "a part of 8% to 100% of the area, stretched by up to 1.33 to 1",
        ),
        ({"crop": ScaleCrop()}, "a crop from anywhere, of a short side 1.14 to 2.14 times as long"),
        (
            {"crop": ScaleCrop(1.5, 1.5)},
            "a crop from anywhere, of a short side 1.50 times as long",
        ),
        ({"policy": RandAugment(2, 9, 0.5)}, "RandAugment: 2 changes of magnitude 9 ± 0.5"),
        ({"policy": RandAugment(1, 7)}, "RandAugment: 1 change of magnitude 7"),
        (
            {"policy": RandAugment(2, 7, probability=0.5)},
            "RandAugment: 2 changes of magnitude 7, each in 50% of the images",
        ),
        ({"policy": TrivialAugment()}, "TrivialAugment: one change of random strength"),
        ({"flip": True}, "mirrored half of the time"),
        ({"flip": "alternating"}, "mirrored every other time"),
        ({"vertical_flip": True}, "upside down half of the time"),
        (
            {"jitter": ColourJitter(0.4, 0, 0.2, 0.1)},
            "brightness ± 40%, saturation ± 20%, hue ± 10% of the circle",
        ),
        ({"lighting": 0.1}, "colours along their main axes (deviation 0.1)"),
        ({"cutout": 8}, "a square of 8 pixels cut out"),
        ({"erase": RandomErasing()}, "a box of noise over 2% to 33% in 25% of the images"),
        ({"erase": RandomErasing(1, fill="mean")}, "a box of the mean over 2% to 33%"),
        ({"mix": Mixup(0.2)}, "mixup (alpha 0.2)"),
        ({"mix": CutMix(1, 0.5)}, "CutMix (alpha 1) for 50% of the batches"),
        (
            {"mix": MixupOrCutMix()},
            "mixup (alpha 0.8) or CutMix (alpha 1, 50% of the mixed batches)",
        ),
    ],
)
def test_one_thing_is_one_phrase(changes: dict[str, object], words: str) -> None:
    settings = AugmentSettings(**{"crop": NoCrop(), "flip": False, **changes})  # type: ignore[arg-type]
    assert what_is_random(settings) == (words,)


def test_nothing_is_said_to_be_nothing() -> None:
    assert what_is_random(NOTHING) == ("nothing: training sees the view that is evaluated",)


def test_many_things_come_in_their_order() -> None:
    settings = AugmentSettings(PadCrop(2), flip=True, cutout=4, mix=Mixup())
    assert [phrase.split()[0] for phrase in what_is_random(settings)] == [
        "shifted",
        "mirrored",
        "a",
        "mixup",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("rotate", -27.04), "rotate −27°"),
        (("translate_x", 91.9), "translate x +91 pixels"),
        (("shear_y", 0.27), "shear y +0.27"),
        (("brightness", -0.813), "brightness −0.81"),
        (("posterize", 3.6), "posterize, 4 bits away"),
        (("solarize", 229.5), "solarize, within 230 of white"),
        (("auto_contrast", 0.0), "auto contrast"),
        (("equalize", 0.0), "equalize"),
        (("identity", 0.0), "identity"),
    ],
)
def test_a_change_is_told_with_its_unit(change: tuple[str, float], words: str) -> None:
    assert what_was_drawn(Drawn(0, None, (change,)), 10, 10) == words


def test_what_was_drawn_goes_from_the_crop_to_the_last_change() -> None:
    drawn = Drawn(0, (10.0, 0.0, 60.0, 40.0), (("rotate", 9.0), ("identity", 0.0)))
    assert what_was_drawn(drawn, 100, 80) == "25% of the picture, then rotate +9°, then identity"
    assert what_was_drawn(Drawn(0, None, ()), 100, 80) == ""


def test_a_draw_is_compared_with_the_view_that_is_evaluated() -> None:
    plain = noise(0, 8, 8)
    assert what_differs(plain, plain.copy()) == "as it is"
    assert what_differs(plain, plain[:, ::-1]) == "mirrored"
    assert what_differs(plain, plain[::-1]) == "upside down"
    hole = plain.copy()
    hole[:4, :4] = 255 - hole[:4, :4]
    apart = sum(abs(int(a) - int(b)) for a, b in zip(plain.flat, hole.flat, strict=True)) / 192
    assert what_differs(plain, hole) == (
        f"25% of the pixels differ, by {apart:.0f} of 255 on average"
    )
    assert difference(plain, hole) == difference(hole, plain) == pytest.approx(apart)
