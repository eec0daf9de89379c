"""Copies, outliers and strangers: against slow literal versions, and where they are known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fathom.errors import UserError
from fathom.features import similar
from fathom.features.similar import CUT, near_duplicates, nearest, outliers, strangers
from fathom.runtime import generator


def clouds(seed: int, *counts: int, spread: float = 0.05) -> tuple[Tensor, Tensor]:
    """(N, 16) features around one direction for each class, and their targets."""
    rng = generator(seed, "clouds")
    centres = torch.eye(16)[: len(counts)]
    targets = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    noise = torch.randn(len(targets), 16, generator=rng)
    return centres[targets] + spread * noise, targets


@settings(deadline=None, derandomize=True, database=None, max_examples=30)
@given(st.integers(0, 99), st.integers(1, 40), st.floats(0.1, 0.99), st.integers(1, 9))
def test_pairs_are_those_of_the_definition(
    seed: int, count: int, threshold: float, block: int
) -> None:
    values = torch.randn(count, 3, generator=generator(seed, "pairs"))
    expected = {
        (i, j)
        for i in range(count)
        for j in range(i + 1, count)
        if F.cosine_similarity(values[i], values[j], dim=0) >= threshold
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similar, "_BLOCK", block)
        found = near_duplicates(values, threshold=threshold)
    assert {(pair.first, pair.second) for pair in found.pairs} == expected
    assert found.count == len(expected) == len(found.pairs)
    cosines = [pair.cosine for pair in found.pairs]
    assert cosines == sorted(cosines, reverse=True)
    for pair in found.pairs:
        cosine = F.cosine_similarity(values[pair.first], values[pair.second], dim=0)
        assert pair.cosine == pytest.approx(float(cosine), abs=1e-5)


def test_copies_have_a_cosine_of_one_whatever_the_rounding() -> None:
    values = torch.rand(50, 1280, generator=generator("copies"))
    found = near_duplicates(torch.cat((values, values)), threshold=1.0)
    assert {(pair.first, pair.second) for pair in found.pairs} == {(i, i + 50) for i in range(50)}
    assert max(pair.cosine for pair in found.pairs) <= 1.0


def test_exact_copies_come_first_and_are_marked() -> None:
    values = torch.tensor([[1.0, 0.0], [1.0, 0.0], [2.0, 0.2], [1.0, 0.1], [0.0, 1.0], [0.0, 1.0]])
    checksums = [1, 2, 3, 3, None, None]
    found = near_duplicates(values, checksum=lambda row: checksums[row])
    assert [(p.first, p.second) for p in found.pairs if p.exact] == [(2, 3)]
    assert found.pairs[0].exact
    assert found.count == 7
    few = near_duplicates(values, checksum=lambda row: checksums[row], most=2)
    assert (few.count, len(few.pairs)) == (7, 2)


@settings(deadline=None, derandomize=True, database=None, max_examples=30)
@given(st.integers(0, 99), st.integers(2, 30), st.integers(1, 9), st.integers(1, 40))
def test_all_pairs_are_counted_however_few_are_kept(
    seed: int, count: int, block: int, most: int
) -> None:
    rng = generator(seed, "counted")
    images, parts, files = (torch.randint(3, (count,), generator=rng).tolist() for _ in range(3))
    checksums = [None if file == 0 else file for file in files]
    values = torch.tensor([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]])[images]
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    near = [(i, j) for i, j in pairs if (images[i] == 2) == (images[j] == 2)]
    exact = {(i, j) for i, j in near if images[i] == images[j] and checksums[i] == checksums[j]}
    exact = {(i, j) for i, j in exact if checksums[i] is not None}
    across = {(i, j) for i, j in near if parts[i] != parts[j]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similar, "_BLOCK", block)
        found = near_duplicates(
            values, parts=torch.tensor(parts), checksum=lambda row: checksums[row], most=most
        )
    assert (found.count, found.across, found.exact) == (len(near), len(across), len(exact))
    kept = [(pair.first, pair.second) for pair in found.pairs]
    assert len(set(kept)) == min(most, len(near))
    assert [pair.exact for pair in found.pairs] == [pair in exact for pair in kept]
    ranks = [(pair in across, pair in exact, images[pair[0]] == images[pair[1]]) for pair in near]
    found_ranks = [ranks[near.index(pair)] for pair in kept]
    assert found_ranks == sorted(ranks, reverse=True)[:most]


def test_each_image_is_read_once() -> None:
    asked: list[int] = []

    def checksum(row: int) -> int:
        asked.append(row)
        return 7

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similar, "_BLOCK", 2)
        found = near_duplicates(torch.ones(9, 3), checksum=checksum)
    assert found.exact == found.count == 36
    assert sorted(asked) == list(range(9))


def test_only_images_that_look_the_same_are_read_again() -> None:
    asked: list[int] = []

    def checksum(row: int) -> int:
        asked.append(row)
        return 0

    values = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.0, 2.0]])
    found = near_duplicates(values, checksum=checksum)
    assert (found.count, sorted(asked)) == (2, [2, 3])


@pytest.mark.parametrize("threshold", [0.0, 1.1, -1.0])
def test_a_threshold_that_is_no_cosine_is_refused(threshold: float) -> None:
    with pytest.raises(UserError, match="a cosine lies between 0 and 1"):
        near_duplicates(torch.eye(2), threshold=threshold)


@settings(deadline=None, derandomize=True, database=None, max_examples=30)
@given(st.integers(0, 99), st.integers(2, 30), st.integers(1, 64))
def test_nearest_rows_are_those_of_the_definition(seed: int, count: int, held: int) -> None:
    values = torch.randn(count, 4, generator=generator(seed, "nearest"))
    k = 1 + seed % (count - 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similar, "_HELD", held)
        cosines, rows = nearest(values, k)
    for row in range(count):
        all_of_them = F.cosine_similarity(values[row], values, dim=1)
        others = [i for i in range(count) if i != row]
        expected = sorted(others, key=lambda i: -float(all_of_them[i]))[:k]
        assert rows[row].tolist() == expected
        torch.testing.assert_close(cosines[row], all_of_them[expected], rtol=1e-5, atol=1e-5)


def literal_score(values: Tensor, targets: Tensor, row: int, k: int) -> float:
    """The modified z-score of one row, step by step."""
    members = [i for i in range(len(targets)) if targets[i] == targets[row]]

    def distance(i: int) -> float:
        to = [
            1 - float(F.cosine_similarity(values[i], values[j], dim=0)) for j in members if j != i
        ]
        return sum(sorted(to)[:k]) / k

    distances = {i: distance(i) for i in members}
    middle = float(torch.tensor(list(distances.values())).median())
    spread = float(torch.tensor([abs(d - middle) for d in distances.values()]).median())
    return 0.6745 * (distances[row] - middle) / max(spread, 0.01)


def test_scores_are_those_of_the_definition() -> None:
    values, targets = clouds(0, 12, 15, spread=0.3)
    values[3] = -values[3]
    values[20] = values[0]
    found = {outlier.row: outlier.score for outlier in outliers(values, targets, k=4)}
    assert 3 in found
    for row in range(len(targets)):
        score = literal_score(values, targets, row, 4)
        assert (row in found) == (score > CUT)
        if row in found:
            assert found[row] == pytest.approx(score, rel=1e-3)


def test_outliers_are_ranked_and_healthy_classes_have_none() -> None:
    values, targets = clouds(1, 30, 30)
    assert outliers(values, targets) == ()
    values[7] = -values[7]
    values[40] = values[40] + 0.6 * torch.eye(16)[5]
    found = outliers(values, targets)
    assert [outlier.row for outlier in found] == [7, 40]
    assert found[0].score > found[1].score > CUT


def test_a_class_of_copies_has_no_outliers_by_rounding() -> None:
    copies = torch.rand(1, 1280, generator=generator("one")).repeat(20, 1)
    values = copies * torch.linspace(0.1, 9, 20)[:, None]
    assert outliers(values, torch.zeros(20, dtype=torch.int64)) == ()


def test_classes_too_small_to_be_typical_are_left_out() -> None:
    values, targets = clouds(2, 5, 8)
    values[0], values[6] = -values[0], -values[6]
    assert [outlier.row for outlier in outliers(values, targets, k=5)] == [6]


def test_a_wrong_label_is_a_stranger() -> None:
    values, targets = clouds(3, 20, 20, 20)
    assert strangers(values, targets) == ()
    wrong = targets.clone()
    wrong[4], wrong[33] = 2, 0
    assert {(s.row, s.target) for s in strangers(values, wrong)} == {(4, 0), (33, 1)}
    # Of ten neighbours one or none shares the wrong label; all others agree.
    assert all(s.share >= 0.9 for s in strangers(values, wrong))


def test_strangers_need_agreement() -> None:
    values = torch.tensor([[1.0, 0.0]] * 11 + [[0.0, 1.0]] * 11)
    targets = torch.tensor([0] + [1] * 7 + [2] * 3 + [0] * 11)
    assert 0 not in {s.row for s in strangers(values, targets, share=0.8)}
    (found,) = strangers(values, targets, share=0.7)
    assert (found.row, found.target) == (0, 1)
    assert found.share == pytest.approx(0.7)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_few_images_are_no_trouble(count: int) -> None:
    values = torch.eye(10)[:count]
    for targets in (torch.arange(count), torch.zeros(count, dtype=torch.int64)):
        assert near_duplicates(values).count == 0
        assert outliers(values, targets, k=10) == ()
        assert strangers(values, targets) == ()
