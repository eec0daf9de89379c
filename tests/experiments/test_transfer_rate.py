"""The best rate from two starts: how it is picked, and when ten times is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from fathom.data.catalog import open_catalog
from fathom.data.load import load_dataset
from fathom.data.settings import AugmentSettings, DataSettings, NoCrop
from fathom.data.split import split_catalog
from fathom.errors import UserError
from fathom.experiments.transfer_rate import _RATES, best_rate, of_classes, transfer_rate
from tests.experiments.scaffold import DIGITS, results, setting


def test_some_classes_are_numbered_anew() -> None:
    data = DataSettings(source="digits")
    chosen = split_catalog(open_catalog(data), data, choosing=False)
    augment = AugmentSettings(NoCrop(), flip=False)
    whole = load_dataset(chosen, data, augment, image_size=8, channels=1)
    part = of_classes(whole, (7, 2))
    assert part.class_names == ("7", "2")
    for role, split in part.splits.items():
        old = whole.splits[role]
        wanted = [i for i, t in enumerate(old.images.targets) if t in (7, 2)]
        assert [(7, 2)[t] for t in split.images.targets] == [old.images.targets[i] for i in wanted]
        assert split.views is not None
        assert old.views is not None
        assert torch.equal(split.views, old.views[wanted])


def test_the_best_rate_is_the_most_accurate_then_that_of_the_lowest_loss() -> None:
    assert best_rate((0.1, 0.2, 0.3), [(0.5, 1.0), (0.7, 0.9), (0.6, 0.1)]) == 0.2
    assert best_rate((0.1, 0.2, 0.3), [(0.7, 1.0), (0.7, 0.9), (0.1, None)]) == 0.2
    assert best_rate((0.1, 0.2), [(0.5, None), (0.5, 3.0)]) == 0.2


def test_half_decades_from_a_thousandth() -> None:
    assert _RATES[0] == 0.001
    for before, after in pairwise(_RATES):
        assert after / before == pytest.approx(10**0.5, rel=1e-4)
    assert _RATES[-1] == pytest.approx(3.1623, rel=1e-4)


def test_too_few_classes_for_a_pretraining_of_ones_own() -> None:
    with pytest.raises(UserError, match=r"have 4 classes.*needs 5"):
        transfer_rate(setting(replace(DIGITS, num_classes=4)))


@pytest.mark.parametrize(
    ("tuned", "fresh", "verdict", "says"),
    [
        ((2, 2, 2), (4, 4, 4), "demonstrated", "is 10 times"),
        ((2, 2, 2), (4, 4, 5), "demonstrated", "is 15 times"),
        ((3, 3, 3), (4, 4, 4), "not-reproduced", "not about ten"),
        ((4, 2, 3), (4, 4, 3), "not-reproduced", "do not tell"),
        ((0, 0, 0), (2, 2, 2), "not-reproduced", "end of the grid"),
        ((2, 2), (4, 4), "not-reproduced", "is 10 times"),
    ],
)
def test_ten_times_needs_three_seeds_and_rates_inside_the_grid(
    tuned: Sequence[int], fresh: Sequence[int], verdict: str, says: str
) -> None:
    def runs(places: Sequence[int]) -> list[dict[str, object]]:
        return [
            {
                "rates": list(_RATES),
                "top1": [0.9 if n == place else 0.5 for n in range(len(_RATES))],
                "best": _RATES[place],
                "classes": 4,
                "learnt": 570,
                "steps": 100,
            }
            for place in places
        ]

    cells = {"pretrained weights": runs(tuned), "fresh weights": runs(fresh)}
    findings = transfer_rate(setting()).findings
    judged = findings(results(cells, weights="lite")).verdicts["transfer.finetune"]
    assert judged.verdict == verdict
    assert says in judged.explanation
    own = findings(results(cells)).verdicts["transfer.finetune"]
    assert own.verdict == "not-reproduced", "weights that were trained here say nothing of others"
