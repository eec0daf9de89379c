"""Class means and neighbours against loops that leave one image out."""

import math

import pytest
import torch
from torch import Tensor

from fathom.errors import UserError
from fathom.transfer import nearest
from fathom.transfer.nearest import TEMPERATURE, fit_means, fit_neighbours
from tests.transfer.features import some_features


def some_views() -> tuple[Tensor, Tensor, Tensor]:
    """Two views of each image, all first ones first."""
    values, targets = some_features((12, 9, 7, 1), apart=0.6)
    noise = 0.3 * torch.randn(values.shape, generator=torch.Generator().manual_seed(1))
    return torch.cat([values, values + noise]), targets.repeat(2), torch.arange(29).repeat(2)


def directions(values: Tensor) -> Tensor:
    centred = values - values.mean(0)
    return centred / centred.square().sum(1, keepdim=True).sqrt()


def test_means_are_judged_without_the_image() -> None:
    values, targets, groups = some_views()
    unit = directions(values)
    right = judged = 0
    for image in range(29):
        others = groups != image
        if not (others & (targets == targets[image])).any():
            continue
        means = [unit[others & (targets == i)].mean(0) for i in range(4) if (targets == i).any()]
        if (others & (targets == 3)).any():
            cosines = [float(unit[image] @ mean / mean.norm()) for mean in means]
            judged += 1
            right += cosines.index(max(cosines)) == int(targets[image])
    found = fit_means(values, targets, num_classes=4, groups=groups)
    assert judged == 28
    assert 14 < right < 28
    assert found.top1 == right / judged


def vote(cosines: Tensor, classes: Tensor, k: int) -> list[float]:
    nearest_first = sorted(range(len(cosines)), key=lambda i: -float(cosines[i]))[:k]
    votes = [0.0] * 4
    for i in nearest_first:
        votes[int(classes[i])] += math.exp(float(cosines[i]) / TEMPERATURE)
    return [share / sum(votes) for share in votes]


def test_neighbours_vote_without_the_image_and_its_views() -> None:
    values, targets, groups = some_views()
    unit = directions(values)
    found = fit_neighbours(values, targets, num_classes=4, seed=0, groups=groups)
    assert list(found.top1) == [1, 5, 10, 20, 50]
    assert found.judged == 28
    for k, top1 in found.top1.items():
        right = 0
        for image in range(29):
            if int(targets[image]) == 3:
                continue  # alone in its class
            others = groups != image
            shares = vote(unit[others] @ unit[image], targets[others], k)
            right += shares.index(max(shares)) == int(targets[image])
        assert top1 == right / 28
    assert found.k == next(k for k in found.top1 if found.top1[k] == max(found.top1.values()))


def test_scores_are_cosines_and_shares_of_votes() -> None:
    values, targets = some_features((12, 9, 7, 2))
    new, _ = some_features((2, 2, 2, 2), seed=1)
    means = fit_means(values, targets, num_classes=4)
    centre = values.mean(0)
    unit = directions(values)
    for row, scores in zip(new, means.scores(new), strict=True):
        direction = (row - centre) / (row - centre).norm()
        expected = [unit[targets == i].mean(0) for i in range(4)]
        literal = torch.stack([mean @ direction / mean.norm() for mean in expected])
        torch.testing.assert_close(scores, literal, atol=1e-5, rtol=1e-5)
    near = fit_neighbours(values, targets, num_classes=4, seed=0)
    for row, scores in zip(new, near.scores(new), strict=True):
        direction = (row - centre) / (row - centre).norm()
        assert scores.tolist() == pytest.approx(vote(unit @ direction, targets, near.k), abs=1e-4)
    assert near.scores(new[:0]).shape == (0, 4)


def test_memory_is_bounded_and_the_result_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values, targets, groups = some_views()
    whole = fit_neighbours(values, targets, num_classes=4, seed=0, groups=groups)
    shares = whole.scores(values)
    monkeypatch.setattr(nearest, "_CELLS", 3 * len(values))
    parts = fit_neighbours(values, targets, num_classes=4, seed=0, groups=groups)
    assert parts.top1 == whole.top1
    torch.testing.assert_close(parts.scores(values), shares)


def test_a_view_does_not_vote_for_its_own_image() -> None:
    rng = torch.Generator().manual_seed(0)
    values = torch.randn(200, 30, generator=rng).repeat(2, 1)
    targets = (torch.arange(200) % 2).repeat(2)  # nothing to learn
    groups = torch.arange(200).repeat(2)
    apart = fit_neighbours(values, targets, num_classes=2, seed=0, groups=groups)
    assert max(apart.top1.values()) < 0.65
    assert fit_neighbours(values, targets, num_classes=2, seed=0).top1[1] == 1


def test_many_images_are_judged_by_some_drawn_by_seed() -> None:
    values, targets = some_features((30, 30), apart=0.3)
    some, again, other = (
        fit_neighbours(values, targets, num_classes=2, seed=seed, most_judged=20)
        for seed in (0, 0, 1)
    )
    assert some.judged == 20
    assert some.top1 == again.top1 != other.top1
    with pytest.raises(UserError, match="judge 1 image or more"):
        fit_neighbours(values, targets, num_classes=2, seed=0, most_judged=0)


def test_one_image_of_every_class_cannot_be_judged() -> None:
    values, targets = some_features((1, 1, 1))
    assert fit_means(values, targets, num_classes=3).top1 is None
    near = fit_neighbours(values, targets, num_classes=3, seed=0)
    assert (near.k, near.top1, near.judged) == (1, {}, 0)
    assert torch.equal(near.scores(values).argmax(1), targets)
