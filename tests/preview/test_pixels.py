"""Draws of given pixels: the road of the training batches, and what is told of them is true."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.decode import Pixels
from fathom.data.policies import apply_change, strongest
from fathom.data.settings import CutMix, Mixup, RandAugment, ResizedCrop
from fathom.errors import UserError
from fathom.keeps.names import PLAIN
from fathom.preview import preview
from fathom.preview.pixels import IMAGENET_VIEW, Shown, show, show_recipe
from fathom.recipes.registry import RECIPES
from tests.images import encode, noise, write

PICTURES = [("one", noise(0, 40, 60)), ("other", noise(1, 50, 44))]
SMALL: dict[str, Any] = {"image_size": 32, "resize": 36}
few = settings(deadline=None, derandomize=True, database=None, max_examples=12)


def pictures_of(shown: Shown) -> list[Pixels]:
    return [look.picture for look, _ in shown.draws]


@few
@given(st.integers(0, 10**6), st.floats(0.2, 8))
def test_cutmix_pastes_as_much_of_the_other_as_its_label_says(seed: int, alpha: float) -> None:
    shown = show(PICTURES, replace(PLAIN, mix=CutMix(alpha)), draws=2, seed=seed, **SMALL)
    one, other = (look.picture for look in shown.originals)
    for look, _ in shown.draws:
        mine, theirs = ((look.picture == whole).all(2) for whole in (one, other))
        assert (mine | theirs).all()
        shares = dict(look.shares)
        assert mine.mean() == pytest.approx(shares.get("one", 0.0), abs=1e-5)
        assert shares.get("other", 0.0) > 0, "it never meets itself alone"


@few
@given(st.integers(0, 10**6), st.floats(0.2, 8))
def test_mixup_blends_in_the_shares_of_the_label(seed: int, alpha: float) -> None:
    shown = show(PICTURES, replace(PLAIN, mix=Mixup(alpha)), draws=2, seed=seed, **SMALL)
    one, other = (look.picture.astype(float) for look in shown.originals)
    for look, _ in shown.draws:
        share = dict(look.shares).get("one", 0.0)
        wanted = share * one + (1 - share) * other
        assert np.abs(look.picture - wanted).max() < 0.51


@pytest.mark.parametrize("change", list(strongest(RandAugment(), 32, 32)))
def test_a_change_that_is_asked_for_is_the_one_applied(change: str) -> None:
    policy = RandAugment(1, 9, std=0.5)
    shown = show(
        PICTURES[:1], replace(PLAIN, policy=policy), draws=3, seed=5, change=change, **SMALL
    )
    plain = torch.from_numpy(shown.originals[0].picture.transpose(2, 0, 1).copy())
    for look, drawn in shown.draws:
        ((name, strength),) = drawn.changes
        assert name == change
        wanted = apply_change(plain, name, strength).permute(1, 2, 0).numpy()
        assert np.array_equal(look.picture, wanted)


def test_a_recipe_draws_what_the_sheet_of_a_file_draws(tmp_path: Path) -> None:
    pixels = noise(3, 80, 100)
    sheet = preview(str(write(tmp_path / "a.png", encode(pixels))), draws=3, seed=4)
    made, shown = show_recipe([("a", pixels)], "default", draws=3, seed=4)
    assert made.augment == sheet.recipe.augment
    for mine, theirs in zip(pictures_of(shown), sheet.rows[0].draws, strict=True):
        assert np.array_equal(mine, theirs.picture)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_drawn_at_its_own_sizes(name: str) -> None:
    made, shown = show_recipe(PICTURES, name, draws=1, seed=0)
    side = made.eval_size or made.image_size
    assert shown.draws[0][0].picture.shape == (made.image_size, made.image_size, 3)
    assert all(look.picture.shape == (side, side, 3) for look in shown.originals)
    assert len(shown.originals) == (2 if made.augment.mix else 1)
    assert len(shown.draws[0][0].shares) == len(shown.originals)


def test_the_seed_decides() -> None:
    crop = replace(PLAIN, crop=ResizedCrop(), flip=True)
    first, again, other = (
        pictures_of(show(PICTURES[:1], crop, draws=3, seed=seed, **SMALL)) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert len({picture.tobytes() for picture in first}) == 3


def test_a_picture_that_is_alone_is_mixed_with_none() -> None:
    shown = show(PICTURES[:1], replace(PLAIN, mix=Mixup()), draws=2, seed=0)
    assert [look.shares for look, _ in shown.draws] == [(("one", 1.0),)] * 2
    assert shown.originals[0].picture.shape == (IMAGENET_VIEW.image_size,) * 2 + (3,)


def test_nothing_drawn_is_refused() -> None:
    with pytest.raises(UserError, match="draws is 0"):
        show(PICTURES, PLAIN, draws=0, seed=0)
