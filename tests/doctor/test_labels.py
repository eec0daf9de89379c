"""How many labels are wrong, and which."""

from __future__ import annotations

import pytest
import torch

from fathom.doctor.feed import Sample
from fathom.doctor.labels import Margins, confident_learning, judge_labels, neighbours

from .checks.worlds import noisy, patterns


def test_features_tell_the_share_of_wrong_labels_and_which() -> None:
    source = torch.Generator().manual_seed(0)
    truth = torch.randint(5, (1500,), generator=source)
    centres = 2.2 * torch.randn(5, 16, generator=source)
    values = centres[truth] + torch.randn(1500, 16, generator=source)
    wrong = torch.rand(1500, generator=source) < 0.15
    others = torch.randint(1, 5, (1500,), generator=source)
    targets = torch.where(wrong, (truth + others) % 5, truth)
    found = judge_labels(values, targets, num_classes=5)
    assert abs(found.share - 0.15) < 0.04
    assert found.low < 0.15 < found.high
    first = found.order[:100]
    assert wrong[first].float().mean() > 0.9
    assert (found.likely[first] == truth[first]).float().mean() > 0.9


def test_the_share_is_read_where_the_classifier_is_surest() -> None:
    source = torch.Generator().manual_seed(0)
    shares = (3 * torch.randn(6000, 4, generator=source)).softmax(1)
    targets = torch.randint(4, (6000,), generator=source)
    found = confident_learning(shares, targets)
    by_hand = sorted(range(6000), key=lambda i: -float(shares[i].max()))[:600]
    disagree = sum(int(shares[i].argmax()) != int(targets[i]) for i in by_hand)
    assert found.share == pytest.approx(disagree / 600)
    behind = [float(shares[i].max() - shares[i, targets[i]]) for i in found.order.tolist()]
    assert behind == sorted(behind, reverse=True)
    assert behind[-1] > 0


def test_margins_are_means_over_the_visits() -> None:
    margins = Margins(4, torch.device("cpu"))
    told: dict[int, list[float]] = {0: [], 1: [], 2: []}
    source = torch.Generator().manual_seed(0)
    for _ in range(5):
        logits = torch.randn(3, 6, generator=source)
        targets, places = torch.tensor([1, 0, 5]), torch.tensor([2, 0, 1])
        margins.add(logits, targets, places)
        for row, target, place in zip(logits, targets, places, strict=True):
            other = max(float(v) for k, v in enumerate(row) if k != target)
            told[int(place)].append(float(row[target]) - other)
    areas = margins.areas()
    for place, values in told.items():
        assert float(areas[place]) == pytest.approx(sum(values) / 5, abs=1e-5)
    assert areas[3] == torch.inf
    named = [place for place, _ in margins.suspects(10)]
    assert named == sorted((p for p in range(3) if areas[p] < 0), key=lambda p: float(areas[p]))


def test_an_image_that_comes_twice_in_a_batch_counts_twice() -> None:
    margins = Margins(2, torch.device("cpu"))
    logits = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    margins.add(logits, torch.tensor([0, 0]), torch.tensor([1, 1]))
    assert float(margins.areas()[1]) == pytest.approx((1 - 3) / 2)
    assert margins.suspects(5) == [(1, 1)]


def test_margins_go_on_where_they_were_left() -> None:
    source = torch.Generator().manual_seed(0)
    visits = [
        (torch.randn(3, 6, generator=source), torch.tensor([1, 0, 5]), torch.tensor([2, 0, 1]))
        for _ in range(6)
    ]
    whole, first, second = (Margins(4, torch.device("cpu")) for _ in range(3))
    for place, visit in enumerate(visits):
        whole.add(*visit)
        (first if place < 3 else second).add(*visit)
        if place == 2:
            second.take_up(first.tensors())
    assert torch.equal(second.areas(), whole.areas())
    assert second.suspects(10) == whole.suspects(10)
    assert sum(tensor.element_size() for tensor in whole.tensors().values()) == 12


def samples(share: float) -> tuple[Sample, Sample]:
    images, targets = patterns(1000, 0)
    theirs, labels = patterns(500, 1)
    return Sample(images, noisy(targets, share), None), Sample(theirs, labels, None)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_agreement_of_neighbours_tells_the_share_of_right_labels(share: float) -> None:
    found = neighbours(*samples(share))
    assert found is not None
    assert 1 - found.train / found.across == pytest.approx(share, abs=0.08)
    assert found.val > 0.9
    assert found.chance == pytest.approx(0.1, abs=0.01)


def test_no_image_is_its_own_neighbour() -> None:
    train, val = samples(0.0)
    mixed = torch.arange(len(train.images)) % 10
    same = Sample(train.images, mixed, None)  # labels without meaning: only itself would agree
    found = neighbours(same, val, same)
    assert found is not None
    assert found.shown is not None
    assert found.train == found.shown < 0.2
    assert neighbours(train.first(32), val) is None
