"""Prefixes, gains and their intervals against literal versions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fathom.preprocess import Preprocess
from fathom.tta.measure import ViewsEvaluation, measure_views, paired_interval, prefix_hits
from fathom.tta.passes import Scores
from fathom.tta.protocol import Average, choose_protocol

QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None)
VIEW = Preprocess(16, 20, 3, (0.5,) * 3, (0.5,) * 3)


def random_scores(views: int, count: int, classes: int) -> tuple[Tensor, Tensor]:
    """(V, N, K) logits that are right more often than not, and (N,) targets."""
    rng = torch.Generator().manual_seed(views * count)
    targets = torch.randint(0, classes, (count,), generator=rng)
    logits = 2 * torch.randn(views, count, classes, generator=rng)
    logits[:, torch.arange(count), targets] += 1.5
    return logits, targets


def evaluated(average: Average = "probabilities") -> tuple[ViewsEvaluation, Tensor, Tensor]:
    """Ten views of sixty images in batches of forty and twenty."""
    logits, targets = random_scores(10, 60, 7)
    protocol = choose_protocol("ten", VIEW, average=average)
    batches = [
        Scores(logits[:, part], targets[part], (0.5,) * 10, (len(part) * 1000,) * 10)
        for part in (torch.arange(40), torch.arange(40, 60))
    ]
    return measure_views(batches, protocol, split="val"), logits, targets


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_a_row_is_the_mean_of_the_views_up_to_it(average: Average) -> None:
    found, logits, targets = evaluated(average)
    assert (found.num_images, found.protocol, found.average) == (60, "ten", average)
    first = None
    for number, row in enumerate(found.rows, 1):
        right = near = 0
        hits = []
        for image, target in enumerate(targets.tolist()):
            each = []
            for view in range(number):
                values = logits[view, image].tolist()
                total = sum(math.exp(v) for v in values)
                each.append(
                    values if average == "logits" else [math.exp(v) / total for v in values]
                )
            mean = [sum(column) / number for column in zip(*each, strict=True)]
            ranks = sorted(range(7), key=lambda k: -mean[k])
            hits.append(ranks[0] == target)
            right += ranks[0] == target
            near += target in ranks[:5]
        first = first or hits
        won = sum(a and not b for a, b in zip(hits, first, strict=True))
        lost = sum(b and not a for a, b in zip(hits, first, strict=True))
        assert row.views == number
        assert (row.top1, row.top5) == pytest.approx((right / 60, near / 60))
        assert row.gain == pytest.approx((won - lost) / 60)
        if number > 1:
            assert (row.gain_low, row.gain_high) == paired_interval(won, lost, 60)
        assert row.flops == 2000 * number
        assert row.seconds == pytest.approx(1.0 * number)


def test_the_best_prefix_is_the_shortest_of_the_highest() -> None:
    found = evaluated()[0]
    top = max(row.top1 for row in found.rows)
    assert found.best == min(row.views for row in found.rows if row.top1 == top)
    assert 1 <= found.enough <= found.best, "no longer prefix is even as high as the best"


def step(right: Tensor) -> ViewsEvaluation:
    """(V, N) hits as an evaluation: logits so large that a view outvotes all before it."""
    views, count = right.shape
    logits = torch.zeros(views, count, 2)
    for view in range(views):
        logits[view, torch.arange(count), right[view].long()] = 100.0**view
    protocol = choose_protocol("multiscale", VIEW, scales=range(16, 16 + views), average="logits")
    batch = Scores(logits, torch.ones(count, dtype=torch.int64), (0.0,) * views, (1,) * views)
    return measure_views([batch], protocol, split="val")


def test_enough_is_where_no_longer_prefix_is_significantly_better() -> None:
    right = torch.zeros(4, 100, dtype=torch.bool)
    for view, hits in enumerate((50, 60, 61, 62)):  # 10 won: z = 3.2; 1 and 2 won: z = 1 and 1.4
        right[view, :hits] = True
    found = step(right)
    assert (found.best, found.enough) == (4, 2)
    assert found.rows[0].top5 is None
    right[3, :66] = True  # 5 over the third row, z = 2.2
    assert step(right).enough == 4
    assert step(right[:1].expand(3, -1)).enough == 1


def likelihood(won: int, lost: int, count: int, gain: float) -> float:
    """The share of lost images that is the likeliest under a gain, by trying a million."""
    low, high = max(0.0, -gain), (1 - gain) / 2
    share = np.linspace(low, high, 1_000_001)[1:-1]
    same = 1 - 2 * share - gain
    with np.errstate(divide="ignore"):
        value = (
            won * np.log(share + gain) + lost * np.log(share) + (count - won - lost) * np.log(same)
        )
    return float(share[np.argmax(value)])


@pytest.mark.parametrize(
    ("won", "lost", "count"), [(40, 20, 160), (1, 7, 21), (12, 5, 500), (3, 0, 40)]
)
def test_the_interval_inverts_the_score_test(won: int, lost: int, count: int) -> None:
    """At its ends the gain that was seen lies 1.96 standard errors away, as they would be there;
    Tango 1998, with the nuisance share found by brute force."""
    for end, sign in zip(paired_interval(won, lost, count), (1, -1), strict=True):
        share = likelihood(won, lost, count, end)
        error = math.sqrt((2 * share + end - end**2) / count)
        assert ((won - lost) / count - end) / error == pytest.approx(sign * 1.959964, abs=2e-3)


@QUICK
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 500))
def test_the_interval_is_mcnemars_and_knows_no_side(won: int, lost: int, others: int) -> None:
    count = won + lost + others
    low, high = paired_interval(won, lost, count)
    assert -1 <= low <= (won - lost) / count <= high <= 1
    assert paired_interval(lost, won, count) == pytest.approx((-high, -low), abs=1e-9)
    significant = won > lost and (won - lost) ** 2 > 1.959964**2 * (won + lost)
    assert (low > 0) == significant


def test_nothing_won_or_lost_is_still_uncertain() -> None:
    """Where no image differs the score test has the closed form z^2 / (n + z^2)."""
    bound = 1.959964**2 / (500 + 1.959964**2)
    assert paired_interval(0, 0, 500) == pytest.approx((-bound, bound), abs=1e-9)


def test_the_interval_holds_the_true_gain_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    draws = rng.multinomial(300, [0.06, 0.03, 0.91], size=1500)
    inside = [
        low <= 0.03 <= high
        for low, high in (paired_interval(int(w), int(m), 300) for w, m, _ in draws)
    ]
    assert 0.935 < sum(inside) / len(inside) < 0.97


def test_one_view_is_plain_evaluation() -> None:
    from fathom.evaluate import measure

    logits, targets = random_scores(1, 200, 9)
    names = [str(k) for k in range(9)]
    plain = measure(logits[0], targets, torch.arange(200), split="val", class_names=names)
    top1, top5 = prefix_hits(logits, targets, "probabilities")
    assert top5 is not None
    assert (top1.double().mean().item(), top5.double().mean().item()) == (plain.top1, plain.top5)


def test_json_has_every_row() -> None:
    import json

    values = json.loads(json.dumps(evaluated()[0].to_dict()))
    assert [row["views"] for row in values["rows"]] == list(range(1, 11))
    assert values["rows"][1]["place"] == "centre"
    assert values["rows"][1]["mirrored"] is True
    assert (values["scales"], values["crop_size"]) == ([20], 16)
