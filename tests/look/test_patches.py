"""The strongest units of many views, and what they see."""

from __future__ import annotations

import pytest
import torch

from fathom.errors import UserError
from fathom.look.maps import seen_by, stage_fields
from fathom.look.patches import exciting_patches, find_peaks
from tests.look.tiny import PREPROCESS, SIDE, Tiny, silence, view


def test_patches_are_the_highest_peaks_in_order() -> None:
    model, views = Tiny(), torch.stack([view(seed) for seed in range(20)])
    peaks = find_peaks(model, PREPROCESS, views, stage=0)
    field = stage_fields(model, SIDE)[0]
    with torch.no_grad():
        maps = torch.cat([model.features(PREPROCESS.normalise(v[None]))[0] for v in views])
    for channel in range(8):
        found = exciting_patches(model, peaks, stage=0, channel=channel, image_size=SIDE, top=5)
        values = maps[:, channel].flatten(1).amax(1)
        expected = [v for v in values.sort(descending=True).values[:5].tolist() if v > 0]
        assert [one.value for one in found] == pytest.approx(expected, rel=1e-5)
        for one in found:
            row, column = one.place
            assert float(maps[one.index, channel, row, column]) == pytest.approx(one.value)
            assert one.box == seen_by(field, one.place, SIDE)


def test_a_channel_that_nothing_excites_has_no_patches() -> None:
    model = Tiny()
    silence(model.convs[1], 3)
    peaks = find_peaks(model, PREPROCESS, view()[None], stage=0)
    assert exciting_patches(model, peaks, stage=0, channel=3, image_size=SIDE) == []
    with pytest.raises(UserError, match="channel 8 does not exist"):
        exciting_patches(model, peaks, stage=0, channel=8, image_size=SIDE)
