"""Norm before or after the activation: the arms, and the meaning of "about equally well"."""

import pytest

from fathom.experiments import Findings
from fathom.experiments.bn_placement import CLAIM, bn_placement
from fathom.models.registry import build_model
from tests.experiments.scaffold import results, setting

ARMS = ("plain, before", "plain, after", "residual, before", "residual, after")


def found(plain: list[float], residual: list[float]) -> Findings:
    """Findings where the norm before has 30 % error, and the norm after so much more."""
    runs = {
        arm: [{"train_error": 0.1, "test_error": 0.3 + more} for more in added]
        for arm, added in zip(ARMS, ([0.0] * 3, plain, [0.0] * 3, residual), strict=True)
    }
    return bn_placement(setting()).findings(results(runs))


def test_arms_differ_in_place_and_shortcut_alone_and_have_equal_parameters() -> None:
    arms = bn_placement(setting()).arms
    assert tuple(arm.name for arm in arms) == ARMS
    sizes = set()
    for arm in arms:
        assert arm.recipe is not None
        model = build_model(
            arm.recipe.model.name, num_classes=10, in_channels=1, **arm.recipe.model.spec
        )
        sizes.add(sum(p.numel() for p in model.parameters()))
    assert len(sizes) == 1


def test_two_narrow_intervals_around_zero_show_it() -> None:
    told = found([0.001, -0.001, 0.0], [0.002, 0.001, 0.0])
    assert told.verdicts[CLAIM].verdict == "demonstrated"
    assert all("about equally well" in sentence for sentence in told.sentences)


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ([0.05, 0.051, 0.049], "before the ReLU is better here, by more than 2 points"),
        ([-0.05, -0.051, -0.049], "after the ReLU is better here, by more than 2 points"),
        ([0.015, 0.02, 0.025], "before the ReLU is better here, perhaps by more than 2 points"),
        ([-0.03, 0.03, 0.0], "these seeds do not decide it"),
    ],
)
def test_one_interval_beyond_the_margin_does_not(plain: list[float], words: str) -> None:
    told = found(plain, [0.0, 0.001, -0.001])
    assert told.verdicts[CLAIM].verdict == "not-reproduced"
    assert words in told.sentences[0]
    assert "about equally well" in told.sentences[1]


def test_less_than_three_seeds_show_nothing() -> None:
    for seeds in (1, 2):
        runs = {arm: [{"train_error": 0.1, "test_error": 0.3}] * seeds for arm in ARMS}
        told = bn_placement(setting()).findings(results(runs))
        assert told.verdicts[CLAIM].verdict == "not-reproduced"
    assert (
        "nothing is decided"
        in bn_placement(setting())
        .findings(results({arm: runs[arm][:1] for arm in ARMS}))
        .sentences[0]
    )
