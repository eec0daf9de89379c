"""Learning curves: truth within the band, bands that only rise, and honest refusals."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.errors import UserError
from fathom.transfer.curves import (
    LEVEL,
    REACH,
    LearningCurve,
    Point,
    fit_curve,
    probe_curve,
)
from fathom.transfer.probe import fit_probe
from tests.transfer.features import some_features

deterministic = settings(deadline=None, derandomize=True, database=None, max_examples=40)
SIZES = (12.5, 12.5, 12.5, 12.5, 25.0, 25.0, 50.0, 80.0)


def truth(images: float, floor: float, start: float, power: float) -> float:
    return 1 - floor - start / math.pow(images, power)


def some_points(
    floor: float, start: float, power: float, *, tested: int = 1000, seed: int = 0
) -> list[Point]:
    rng = np.random.default_rng(seed)
    return [
        Point(size, rng.binomial(tested, truth(size, floor, start, power)) / tested, tested)
        for size in SIZES
    ]


points = st.lists(
    st.builds(
        Point,
        images=st.floats(0.5, 1000),
        accuracy=st.floats(0, 1),
        tested=st.integers(1, 10_000),
    ),
    min_size=1,
    max_size=8,
)


@deterministic
@given(points=points)
def test_bands_rise_and_stay_within_what_accuracies_can_be(points: list[Point]) -> None:
    curve = fit_curve(points)
    before = (0.0, 0.0, 0.0)
    for images in np.geomspace(0.1, 1e6, 15):
        low, middle, high = curve.at(float(images))
        assert 0 <= low <= middle <= high <= 1
        assert all(new >= old - 1e-9 for new, old in zip((low, middle, high), before, strict=True))
        before = low, middle, high


def test_bands_are_quantiles_of_power_laws() -> None:
    curve = fit_curve(some_points(0.1, 0.8, 0.4))
    for images in (3, 80, 700):
        errors = [
            min(1.0, floor + (level - floor) * (images / curve.images) ** -power)
            for level, floor, power in curve.curves.tolist()
        ]
        errors.sort()
        low, middle, high = curve.at(images)
        count = len(errors)
        assert 1 - high == pytest.approx(errors[round(count * (1 - LEVEL) / 2)], abs=2e-3)
        assert 1 - middle == pytest.approx(errors[count // 2], abs=2e-3)
        assert 1 - low == pytest.approx(errors[round(count * (1 + LEVEL) / 2)], abs=2e-3)


def test_the_truth_lies_in_the_band() -> None:
    rng = np.random.default_rng(0)
    inside = {1: 0, 4: 0, 10: 0}
    trials = 60
    for trial in range(trials):
        law = rng.uniform(0, 0.15), rng.uniform(0.3, 0.8), rng.uniform(0.15, 0.6)
        curve = fit_curve(some_points(*law, seed=trial))
        for factor in inside:
            low, _, high = curve.at(80 * factor)
            inside[factor] += low <= truth(80 * factor, *law) <= high
    assert all(count / trials > 0.85 for count in inside.values())


def test_more_test_images_make_the_band_narrower() -> None:
    widths = []
    for tested in (50, 500, 50_000):
        low, _, high = fit_curve(some_points(0.1, 0.8, 0.4, tested=tested)).at(80)
        widths.append(high - low)
    assert widths[0] > 1.5 * widths[1] > 1.5 * widths[2]


def test_draws_that_scatter_make_the_band_wider() -> None:
    steady = some_points(0.1, 0.8, 0.4, tested=20_000)
    signs = (1, -1, 1, -1, 1, -1, 0, 0)
    loose = [
        Point(p.images, p.accuracy + 0.04 * sign, p.tested)
        for p, sign in zip(steady, signs, strict=True)
    ]
    width = [high - low for low, _, high in (fit_curve(p).at(80) for p in (steady, loose))]
    assert width[1] > 1.5 * width[0]


def test_one_failed_run_does_not_bend_the_curve() -> None:
    good = some_points(0.1, 0.8, 0.4, tested=5000)
    failed = [*good, Point(80, 0.1, 5000)]
    assert fit_curve(failed).at(300)[1] == pytest.approx(fit_curve(good).at(300)[1], abs=0.03)


@pytest.mark.parametrize("count", [1, 2])
def test_few_sizes_do_not_extrapolate(count: int) -> None:
    points = [Point(10, 0.7, 500), Point(20, 0.74, 500)][:count]
    curve = fit_curve(points)
    assert not curve.extrapolates
    labels = curve.labels_for(0.01)
    assert (labels.more, labels.low, labels.high) == (None, None, None)
    assert "too few sizes" in labels.why
    low, _, high = curve.at(1000)
    assert high - low > 0.15
    near_low, near, near_high = curve.at(curve.images)
    assert near == pytest.approx(points[-1].accuracy, abs=0.02)
    assert near_high - near_low < 0.1


def test_sizes_close_together_do_not_extrapolate() -> None:
    points = [Point(n, 0.7 + n / 1000, 500) for n in (10, 15, 20)]
    assert not fit_curve(points).extrapolates
    assert fit_curve([*points, Point(40, 0.76, 500)]).extrapolates


def test_labels_buy_the_gain_they_promise() -> None:
    law = 0.0, 0.9, 0.4
    curve = fit_curve(some_points(*law, tested=100_000))
    for gain in (0.01, 0.05):
        labels = curve.labels_for(gain)
        assert labels.why == ""
        assert labels.more is not None
        assert labels.low is not None
        assert labels.high is not None
        assert 1 <= labels.low <= labels.more <= labels.high
        now = curve.at(curve.images)[1]
        assert curve.at(curve.images + labels.more)[1] - now == pytest.approx(gain, abs=0.003)
        left = 1 - truth(80, *law) - gain
        exact = (left / 0.9) ** (-1 / 0.4) - 80
        assert labels.low <= math.ceil(exact) <= labels.high


def test_gains_out_of_reach_say_why() -> None:
    flat = fit_curve([Point(n, 0.9, 100_000) for n in (5, 10, 20, 40, 80)])
    labels = flat.labels_for(0.09)
    assert labels.more is None
    assert "are expected to end at 9" in labels.why
    slow = fit_curve(some_points(0.0, 0.6, 0.12, tested=1_000_000))
    labels = slow.labels_for(0.2)
    assert labels.more is None
    assert str(REACH) in labels.why or "expected to end" in labels.why
    beyond = LearningCurve((), 10, np.array([[0.5, 0.0, 0.1]] * 9), True).labels_for(0.3)
    assert beyond.why == f"it would take more than {REACH} times as many images"


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "needs a point"),
        ([Point(0, 0.5, 10)], "images and tested are above 0"),
        ([Point(5, 1.5, 10)], "a fraction"),
        ([Point(5, 0.5, 0)], "images and tested are above 0"),
    ],
)
def test_points_that_are_none_are_refused(points: list[Point], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit_curve(points)


def test_questions_out_of_range_are_refused() -> None:
    curve = fit_curve(some_points(0.1, 0.8, 0.4))
    with pytest.raises(UserError, match="above 0 images"):
        curve.at(0)
    for gain in (0.0, 1.0):
        with pytest.raises(UserError, match="give a fraction"):
            curve.labels_for(gain)


def test_the_same_points_give_the_same_curve_and_plain_values() -> None:
    one, two = (fit_curve(some_points(0.1, 0.8, 0.4)) for _ in range(2))
    assert np.array_equal(one.curves, two.curves)
    values = one.to_dict((80, 800))
    assert values["points"][0] == {
        "images": 12.5,
        "accuracy": one.points[0].accuracy,
        "tested": 1000,
    }
    assert values["bands"][1] == dict(
        zip(("images", "low", "mid", "high"), (800, *one.at(800)), strict=True)
    )
    assert values["labels"] == vars(one.labels_for())


def test_a_probes_curve_has_an_eighth_a_quarter_a_half_and_all() -> None:
    values, targets = some_features((40, 40, 16), apart=0.35, width=60)
    probe = fit_probe(values, targets, num_classes=3, seed=0)
    found = probe_curve(values, targets, num_classes=3, seed=0, probe=probe)
    sizes = [(5 + 5 + 2) / 3] * 4 + [(10 + 10 + 4) / 3] * 2 + [(20 + 20 + 8) / 3, 96 / 3 * 4 / 5]
    assert [point.images for point in found] == pytest.approx(sizes)
    assert [point.tested for point in found] == [84] * 4 + [72] * 2 + [48, 96]
    assert found[-1].accuracy == probe.cv_top1
    assert len({point.accuracy for point in found[:4]}) > 1
    few = sum(point.accuracy for point in found[:4]) / 4
    assert found[-2].accuracy > few
    assert found == probe_curve(values, targets, num_classes=3, seed=0, probe=probe)


def test_views_of_judged_images_do_not_train() -> None:
    values = torch.randn(64, 200, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    targets = (torch.arange(64) % 2).repeat(2)  # nothing to learn
    groups = torch.arange(64).repeat(2)
    probe = fit_probe(values, targets, num_classes=2, seed=0, strengths=[0.1], groups=groups)
    found = probe_curve(values, targets, num_classes=2, seed=0, probe=probe, groups=groups)
    assert sum(point.accuracy for point in found) / len(found) < 0.65


def test_sizes_that_are_the_same_are_measured_once() -> None:
    values, targets = some_features((2, 2, 2))
    probe = fit_probe(values, targets, num_classes=3, seed=0)
    found = probe_curve(values, targets, num_classes=3, seed=0, probe=probe)
    assert [point.images for point in found] == [1] * 5
    alone = fit_probe(values[:3], torch.arange(3), num_classes=3, seed=0)
    assert probe_curve(values[:3], torch.arange(3), num_classes=3, seed=0, probe=alone) == ()
