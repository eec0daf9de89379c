"""The check of splits that differ; leakage is tested with the other checks of the data."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fathom.doctor.checks.splits import CHECKS
from fathom.doctor.observed import Apart, Exam, Observed, Sharing

from .worlds import Pictures, causes, patterns, watched


def seen(apart: Apart | None, *, train: float = 1.0, val: float = 0.6) -> Observed:
    exams = [
        Exam(100, "train", "result", 0.0, train, 400),
        Exam(100, "val", "result", 1.0, val, 400),
    ]
    return replace(Observed(), sharing=Sharing(apart=apart), exams=exams, over=True)


FAR = Apart("contrast", 0.9, 0.06, False)


def test_a_difference_and_a_gap_are_named_together() -> None:
    finding = CHECKS["splits-differ"](seen(FAR))
    assert finding is not None
    assert "contrast" in finding.says
    assert all(evidence.speaks for evidence in finding.evidence)


@pytest.mark.parametrize(
    ("apart", "train", "val"),
    [
        (FAR, 0.99, 0.97),  # it does no harm
        (FAR, 0.3, 0.3),
        (Apart("contrast", 0.2, 0.06, False), 1.0, 0.5),
        (Apart("brightness", 0.9, 0.06, True), 1.0, 0.5),  # augmentation makes brighter, too
        (Apart("contrast", 0.9, 0.2, False), 1.0, 0.5),  # few images
        (None, 1.0, 0.5),
    ],
)
def test_it_is_silent_otherwise(apart: Apart | None, train: float, val: float) -> None:
    assert CHECKS["splits-differ"](seen(apart, train=train, val=val)) is None


def test_a_real_run_with_validation_images_on_their_side_is_named() -> None:
    images, targets = patterns(200, 1)
    ramp = torch.linspace(0, 1, images.shape[-1])
    ours, theirs = patterns(320, 0)
    run = watched(Pictures(ours + ramp, theirs), Pictures((images + ramp).transpose(2, 3), targets))
    assert run.sharing.apart is not None
    assert run.sharing.apart.effect > 0.4
    assert causes(run)[0] == "splits-differ"
    assert "overfitting" not in causes(run)
