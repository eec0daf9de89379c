"""Metrics against slow literal versions of their definitions."""

import math

import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support

from fathom.evaluate import CALIBRATION_BINS, Evaluation, measure, wilson


def some_evaluation(num_classes: int = 7, count: int = 500) -> tuple[Evaluation, torch.Tensor]:
    rng = torch.Generator().manual_seed(3)
    targets = torch.randint(0, num_classes, (count,), generator=rng)
    logits = torch.randn(count, num_classes, generator=rng)
    logits[torch.arange(count), targets] += 1.5
    names = [f"class {i}" for i in range(num_classes)]
    found = measure(logits, targets, torch.arange(count) + 10, split="val", class_names=names)
    return found, torch.cat([logits, targets[:, None]], 1)


def test_accuracy_and_loss_are_their_definitions() -> None:
    found, table = some_evaluation()
    hits = top5 = 0
    loss = 0.0
    for row in table.tolist():
        logits, target = row[:-1], int(row[-1])
        ranks = sorted(range(len(logits)), key=lambda i: -logits[i])
        hits += ranks[0] == target
        top5 += target in ranks[:5]
        loss += math.log(sum(math.exp(v) for v in logits)) - logits[target]
    assert found.top1 == hits / len(table)
    assert found.top5 == pytest.approx(top5 / len(table))
    assert found.loss == pytest.approx(loss / len(table), rel=1e-6)


def test_top5_is_left_out_where_it_says_nothing() -> None:
    assert some_evaluation(num_classes=5)[0].top5 is None


def test_calibration_error_is_guos_equation() -> None:
    """arXiv:1706.04599, Equation 3: bins (m - 1) / M < p <= m / M."""
    found, table = some_evaluation()
    gap = 0.0
    chances = table[:, :-1].softmax(1)
    for m in range(1, CALIBRATION_BINS + 1):
        low, high = (m - 1) / CALIBRATION_BINS, m / CALIBRATION_BINS
        inside = [
            (float(p.max()), int(p.argmax()) == int(t))
            for p, t in zip(chances, table[:, -1], strict=True)
            if low < float(p.max()) <= high
        ]
        assert found.bins[m - 1].count == len(inside)
        if inside:
            sure = sum(p for p, _ in inside) / len(inside)
            right = sum(r for _, r in inside) / len(inside)
            gap += len(inside) / len(table) * abs(sure - right)
    assert found.ece == pytest.approx(gap, abs=1e-6)


def test_classes_agree_with_scikit_learn() -> None:
    found, table = some_evaluation()
    predicted = table[:, :-1].argmax(1)
    precision, recall, f1, support = precision_recall_fscore_support(table[:, -1], predicted)
    for index, score in enumerate(found.per_class):
        assert score.precision == pytest.approx(precision[index])
        assert score.recall == pytest.approx(recall[index])
        assert score.f1 == pytest.approx(f1[index])
        assert score.support == support[index]


def test_a_class_never_named_has_no_precision() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0], [2.0, 0.0, 1.0]])
    targets = torch.tensor([0, 1])
    found = measure(logits, targets, torch.arange(2), split="val", class_names=["a", "b", "c"])
    assert found.per_class[1].precision is None
    assert found.per_class[2].recall == 0


def test_confusions_name_the_surest_mistakes_of_the_commonest_pairs() -> None:
    found, table = some_evaluation()
    chances = table[:, :-1].softmax(1)
    counts = [c.count for c in found.confusions]
    assert counts == sorted(counts, reverse=True)
    for confusion in found.confusions:
        assert confusion.true != confusion.predicted
        confidences = [p for _, p in confusion.examples]
        assert confidences == sorted(confidences, reverse=True)
        for position, confidence in confusion.examples:
            row = position - 10
            assert f"class {int(table[row, -1])}" == confusion.true
            assert float(chances[row].max()) == pytest.approx(confidence)


def test_the_interval_holds_the_true_share_as_often_as_it_says() -> None:
    truth, count = 0.9, 80
    rng = torch.Generator().manual_seed(0)
    draws = (torch.rand(2000, count, generator=rng) < truth).sum(1).tolist()
    inside = [low <= truth <= high for low, high in (wilson(d, count) for d in draws)]
    assert 0.92 < sum(inside) / len(inside) < 0.98


def test_json_keeps_everything() -> None:
    import json

    found = some_evaluation()[0]
    assert Evaluation.from_dict(json.loads(json.dumps(found.to_dict()))) == found
