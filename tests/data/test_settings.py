"""Settings that cannot work are refused with the value and what is allowed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fathom.data.settings import DataSettings, NoCrop, PadCrop, ResizedCrop
from fathom.errors import UserError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataSettings(val_fraction=0.0), "data.val_fraction is 0.0; .* between 0 and 1"),
        (lambda: DataSettings(val_fraction=1.0), "data.val_fraction is 1.0"),
        (lambda: DataSettings(val_fraction=float("nan")), "data.val_fraction is nan"),
        (lambda: DataSettings(workers=-1), "data.workers is -1; it must be 0 or more, or auto"),
        (lambda: PadCrop(padding=0), "augment.crop.padding is 0; use 1 or more"),
        (lambda: ResizedCrop(min_area=0), "augment.crop.min_area is 0; it must be above 0"),
        (lambda: ResizedCrop(min_area=1.1), "augment.crop.min_area is 1.1"),
        (lambda: ResizedCrop(min_area=float("nan")), "augment.crop.min_area is nan"),
        (lambda: ResizedCrop(max_ratio=0.9), "augment.crop.max_ratio is 0.9; use >= 1"),
    ],
)
def test_values_out_of_range_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_values_at_the_edge_are_taken() -> None:
    assert DataSettings(val_fraction=0.5, workers=0).workers == 0
    assert DataSettings().source is None
    assert PadCrop(padding=1).fill == "reflect"
    assert ResizedCrop(min_area=1, max_ratio=1).min_area == 1


def test_crops_are_told_apart_by_name() -> None:
    assert [c.name for c in (PadCrop, ResizedCrop, NoCrop)] == ["pad", "resized", "none"]
