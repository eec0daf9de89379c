"""The doctor beside `fathom train`: what it looks at, and with which labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from fathom.data.catalog import ImageList
from fathom.data.load import Split
from fathom.data.sources import Arrays
from fathom.doctor import Doctor, record
from fathom.doctor.attend import drawn
from fathom.doctor.checks import modes
from fathom.training.run import Run
from fathom.training.session import train
from tests.training.test_trainer import tiny


def test_a_step_in_parts_is_judged_by_its_last_part(tmp_path: Path) -> None:
    """The logits that the doctor has are those of the last part; its labels stand at the end."""
    recipe = replace(tiny(), steps=4, batch_size=64, accumulate=4)
    doctor = Doctor(every=1)
    list(train(recipe, out=tmp_path / "run", attendant=doctor))
    seen = record.read(Run.open(tmp_path / "run"))
    assert seen is not None
    assert [sorted(look.line) for look in seen.looks[1:]] == [["0", "0.1", "1", "10"]] * 3
    assert doctor._margins is not None
    assert int((doctor._margins.areas() != 0).sum()) > 0


def test_samples_have_classes_as_frequent_as_the_split() -> None:
    """Accuracies on as many of every class would not compare with those on a whole split."""
    targets = (0,) * 900 + (1,) * 90 + (2,) * 10
    source = Arrays(np.zeros((1000, 2, 2, 1), np.uint8))
    split = Split(ImageList(source, tuple(map(str, range(1000))), targets), None)
    found = Counter(drawn(split, 500).images.targets)
    assert sum(found.values()) == 500
    assert abs(found[0] - 450) < 30
    assert found[2] < 15
    assert drawn(split, 500).images == drawn(split, 500).images
    assert sorted(drawn(split, 1000).images.keys) == sorted(split.images.keys)


def test_a_sample_that_is_read_in_part_has_all_classes_of_a_split_stored_by_class() -> None:
    """Reading stops when its time is up: the first of a sample must be a sample themselves."""
    targets = (0,) * 600 + (1,) * 400
    source = Arrays(np.zeros((1000, 2, 2, 1), np.uint8))
    split = Split(ImageList(source, tuple(map(str, range(1000))), targets), None)
    for count in (500, 1000):
        first = Counter(drawn(split, count).images.targets[:200])
        assert abs(first[1] - 80) < 25


def test_balanced_sampling_does_not_change_the_classes_of_what_is_compared(tmp_path: Path) -> None:
    """Images as a balanced run draws them would be held against validation images as they are."""
    shuffled = replace(tiny(), steps=2, batch_size=64)
    for recipe in (shuffled, replace(shuffled, sampling="balanced")):
        doctor = Doctor(every=1)
        list(train(recipe, out=tmp_path / recipe.sampling, attendant=doctor))
        asked = "augmented" in {exam.split for exam in doctor.observed.exams}
        assert asked == (recipe.sampling == "shuffled")


def test_a_moving_average_costs_no_exam_that_nothing_reads(tmp_path: Path) -> None:
    """Its memory begins too short for ema-too-slow, the one reader of the weights that train."""
    recipe = replace(tiny(), steps=4, batch_size=64, ema=0.99)
    doctor = Doctor(every=1)
    list(train(recipe, out=tmp_path / "run", attendant=doctor))
    assert {(exam.split, exam.weights) for exam in doctor.observed.exams} >= {("train", "result")}
    assert all(exam.weights == "result" for exam in doctor.observed.exams)
    assert (
        max(modes._share_of_first_half(1.0, n, warms_up=True) for n in range(3, 300)) < modes._OLD
    )
