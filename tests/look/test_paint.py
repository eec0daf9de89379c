"""Pixels say what the numbers say."""

from __future__ import annotations

import numpy as np
import torch

from fathom.look import paint
from tests.look.tiny import view


def test_pictures_are_the_views() -> None:
    colour = view()
    assert np.array_equal(paint.picture(colour), colour.permute(1, 2, 0).numpy())
    assert np.array_equal(paint.picture(colour[:1])[..., 2], colour[0].numpy())


def test_zero_is_grey_and_signs_are_told_apart() -> None:
    found = paint.signed(torch.tensor([[[0.0, 2.0, -2.0, 1.0]]]))
    assert found.shape == (1, 4, 3)
    assert found[0, :, 0].tolist()[:3] == [128, 255, 1]
    assert found[0, 3, 0] in (191, 192)
    assert (paint.signed(torch.zeros(3, 2, 2)) == 128).all()


def test_one_huge_pixel_does_not_leave_the_others_grey() -> None:
    values = torch.ones(1, 100, 100)
    values[0, 0, 0] = 1000
    assert (paint.signed(values) == 255).all()


def test_light_runs_from_the_lowest_to_the_highest() -> None:
    assert paint.light(torch.tensor([[-1.0, 0.0, 1.0]]))[0, :, 1].tolist() == [0, 128, 255]
    assert (paint.light(torch.full((2, 2), 7.0)) == 0).all()


def test_the_ramp_rises_in_lightness() -> None:
    found = paint.ramp(torch.linspace(0, 1, 101)[None])[0].astype(float)
    luminance = found @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) >= 0).all()
    assert luminance[-1] > 200 > 50 > luminance[0]


def test_a_spotlight_leaves_hot_places_and_darkens_cold_ones() -> None:
    white = torch.full((3, 8, 8), 255, dtype=torch.uint8)
    heat = torch.zeros(2, 2)
    heat[0, 0] = 3.0
    found = paint.spotlight(white, heat)
    assert found[0, 0].tolist() == [255] * 3
    assert found[7, 7, 0] < 60
    assert (paint.spotlight(white, torch.zeros(2, 2)) < 60).all()


def test_small_pictures_are_enlarged_by_squares_and_large_ones_reduced() -> None:
    small = paint.picture(torch.tensor([[[0, 255]]], dtype=torch.uint8))
    assert np.array_equal(paint.enlarged(small, 4)[..., 0], [[0, 0, 255, 255]] * 2)
    assert paint.enlarged(np.zeros((300, 100, 3), np.uint8), 30).shape == (30, 10, 3)


def test_tiles_make_about_a_square() -> None:
    ones = [np.full((2, 2, 3), n, np.uint8) for n in range(5)]
    page = paint.tiles(ones, side=2)
    assert page.shape == (2 * 2 + 2, 3 * 2 + 2 * 2, 3)
    assert page[0, 0, 0] == 0
    assert page[0, 4, 0] == 1
    assert page[4, 0, 0] == 3
    assert (page[4:, 8:] == 128).all(), "no sixth tile"
