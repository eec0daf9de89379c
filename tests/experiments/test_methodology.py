"""Network against recipe: the arms, and the criterion that was written before looking."""

from __future__ import annotations

import pytest
import torch

from fathom.costs import cost
from fathom.experiments.methodology import methodology
from fathom.models.registry import build_model
from fathom.training.choices import SGD, AdamW
from tests.experiments.scaffold import CIFAR, results, setting


def test_both_networks_have_about_41_million_multiply_adds() -> None:
    for arm in methodology(setting(CIFAR)).arms[:2]:
        assert arm.recipe is not None
        model = arm.recipe.model
        with torch.device("meta"):
            network = build_model(model.name, num_classes=10, in_channels=3, **model.spec)
        assert cost(network, image_size=32).macs == pytest.approx(41.4e6, rel=0.025)


def test_rates_go_with_the_batch() -> None:
    old, _, new, _ = (arm.recipe for arm in methodology(setting(CIFAR)).arms)
    assert old is not None
    assert new is not None
    assert isinstance(old.optimizer, SGD)
    assert isinstance(new.optimizer, AdamW)
    assert old.batch_size == new.batch_size == 128
    assert old.optimizer.lr == pytest.approx(0.1)
    assert new.optimizer.lr == pytest.approx(4e-3 * (128 / 4096) ** 0.5)
    assert new.eval_resize is None or new.eval_resize >= new.image_size == 32


@pytest.mark.parametrize(
    ("recipe", "network", "seeds", "verdict", "says"),
    [
        (0.80, 0.75, 3, "demonstrated", "as much as"),
        (0.75, 0.80, 3, "not-reproduced", "less than"),
        (0.40, 0.75, 3, "not-reproduced", "does harm"),
        (0.60, 0.75, 3, "not-reproduced", "nothing certain"),
        (0.80, 0.75, 2, "not-reproduced", "as much as"),
    ],
)
def test_the_criterion(recipe: float, network: float, seeds: int, verdict: str, says: str) -> None:
    made = methodology(setting())
    spread = (-0.002, 0.0, 0.002)[:seeds]
    means = (0.6, network, recipe, 0.85)
    cells = {
        arm.name: [{"top1": mean + each, "train_top1": 1.0} for each in spread]
        for arm, mean in zip(made.arms, means, strict=True)
    }
    judged = made.findings(results(cells)).verdicts["methodology"]
    assert (judged.verdict, says in judged.explanation) == (verdict, True)
