"""What a strategy's recipe is fitted to."""

from __future__ import annotations

from pathlib import Path

import pytest

from fathom.data.settings import DataSettings, NoCrop, ResizedCrop
from fathom.data.summary import Summary
from fathom.features.backbone import Backbone
from fathom.preprocess import Preprocess
from fathom.training.choices import AdamW
from fathom.transfer.strategies import fitting_size, from_scratch, probing, tuning


@pytest.mark.parametrize(
    ("own", "seconds", "size"),
    [
        (224, 1e6, 224),
        (224, 0.0, 128),
        (224, 100.0, 160),
        (32, 0.0, 32),
        (8, 0.0, 8),
        (8, 1e6, 8),
        (240, 1e6, 240),
        (260, 1e6, 260),
        (260, 120.0, 192),
        (48, 1e6, 48),
        (48, 0.0, 32),
    ],
)
def test_the_size_is_the_largest_that_leaves_time_for_four_passes(
    own: int, seconds: float, size: int
) -> None:
    view = Preprocess(own, own, 3, (0.5,) * 3, (0.5,) * 3)
    assert fitting_size(view, num_train=1000, seconds=seconds, image_seconds=0.045) == size


@pytest.mark.parametrize(
    ("images", "passes", "frozen"),
    [(1_000, 20.0, True), (1_000, 500.0, True), (10_000, 0.5, True), (10_000, 6.0, False)],
)
def test_norms_learn_only_from_many_images_and_many_looks(
    images: int, passes: float, frozen: bool
) -> None:
    summary = Summary(images, 10, 32, 32, 3, None)
    backbone = Backbone("efficientnet_lite0", "lite")
    probe = probing(
        DataSettings(source="digits"), backbone, summary, image_size=128, seed=0, device="cpu"
    )
    for stages in (None, 2):
        found = tuning(
            probe,
            summary,
            start=Path("x"),
            minutes=1,
            passes=passes,
            visits=99,
            num_val=100,
            stages=stages,
        )
        assert found.model.frozen_norms == frozen


def test_a_network_without_batch_norms_has_none_to_freeze() -> None:
    summary = Summary(1_000, 10, 32, 32, 3, None)
    data, backbone = DataSettings(source="digits"), Backbone("convnext_tiny", "torchvision")
    probe = probing(data, backbone, summary, image_size=128, seed=0, device="cpu")
    found = tuning(
        probe, summary, start=Path("x"), minutes=1, passes=20, visits=99, num_val=9, has_norms=False
    )
    assert not found.model.frozen_norms


@pytest.mark.parametrize(
    ("num_val", "passes", "select"),
    [
        (499, 5.0, "last"),
        (500, 5.0, "best"),
        (500, 2.0, "best"),
        (500, 1.9, "last"),
        (500, 0.5, "best"),
        (100, 0.5, "best"),
    ],
)
def test_few_validation_images_or_epochs_leave_no_choice(
    num_val: int, passes: float, select: str
) -> None:
    summary = Summary(1_000, 10, 32, 32, 3, None)
    data = DataSettings(source="digits")
    backbone = Backbone("efficientnet_lite0", "lite")
    probe = probing(data, backbone, summary, image_size=128, seed=0, device="cpu")
    found = tuning(
        probe, summary, start=Path("x"), minutes=1, passes=passes, visits=99, num_val=num_val
    )
    assert found.select == select
    if passes > 2:
        fresh = from_scratch(data, summary, minutes=1, num_val=num_val, seed=0, device="cpu")
        assert fresh.select == select


@pytest.mark.parametrize(("passes", "area"), [(0.5, None), (19.9, None), (20, 0.65), (60, 0.35)])
def test_crops_wait_for_many_looks_at_each_image(passes: float, area: float | None) -> None:
    summary = Summary(1_000, 10, 32, 32, 3, None)
    data, backbone = DataSettings(source="digits"), Backbone("efficientnet_lite0", "lite")
    probe = probing(data, backbone, summary, image_size=128, seed=0, device="cpu")
    found = tuning(
        probe, summary, start=Path("x"), minutes=1, passes=passes, visits=99, num_val=100
    )
    wanted = NoCrop() if area is None else ResizedCrop(min_area=area)
    assert found.augment.crop == wanted


@pytest.mark.parametrize(("visits", "lr"), [(128, 4e-5), (1600, 5e-4), (3200, 1e-3), (9e4, 1e-3)])
def test_few_steps_have_a_lower_learning_rate(visits: float, lr: float) -> None:
    """Else a race leaves a network below where it started, and says nothing."""
    summary = Summary(1_000, 10, 32, 32, 3, None)
    data, backbone = DataSettings(source="digits"), Backbone("efficientnet_lite0", "lite")
    probe = probing(data, backbone, summary, image_size=128, seed=0, device="cpu")
    found = tuning(probe, summary, start=Path("x"), minutes=1, passes=4, visits=visits, num_val=100)
    assert isinstance(found.optimizer, AdamW)
    assert found.optimizer.lr == pytest.approx(lr)
