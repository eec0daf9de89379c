import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from fathom.doctor.checks import modes
from fathom.doctor.observed import Exam, LayerFacts, Look, Observed, Passes
from fathom.regularize import Dropout, StochasticDepth

from .made import Tiny, falls, made, train


def passed(**counts: int) -> Observed:
    return replace(made(falls), passes=Passes(**counts))


def averaged(decay: float, raw: float, mean: float) -> Observed:
    seen = made(falls)
    seen.task.ema = decay
    seen.exams += [
        Exam(200, "val", "raw", 0.1, raw, 512),
        Exam(200, "val", "result", 2.0, mean, 512),
    ]
    return seen


def slow_norms(momentum: float, train: float, evaluation: float) -> Observed:
    """200 steps, with looks in the last quarter at 64 images each."""
    seen = made(falls)
    for layer in seen.structure.layers:
        if layer.kind == "norm":
            layer.momentum = momentum
    both = {"train": (0.5, train), "eval": (2.0, evaluation)}
    seen.looks = [Look(step, 0.5, 0.1, modes=both) for step in (100, 160, 180, 200)]
    return seen


def slow_norms_in_short(train: float, evaluation: float, *, ema: float | None = None) -> Observed:
    """No look in the last quarter, but accuracies of steps and at the end."""
    seen = slow_norms(0.001, 0.5, 0.5)
    seen.looks, seen.task.ema = seen.looks[:1], ema
    seen.curve.top1 = [train] * len(seen.curve.step)
    seen.exams = [Exam(200, "train", "result", 2.0, evaluation, 512)]
    return seen


SICK = {
    "trained-in-eval-mode": passed(training=200, training_in_eval_mode=150),
    "frozen-norm-uses-batch-statistics": passed(training=200, frozen_norms_moving=8),
    "batch-statistics-in-evaluation": passed(evaluating=40, evaluating_with_batch_statistics=40),
    "dropout-in-evaluation": passed(evaluating=40, evaluating_with_dropout=40),
    "ema-too-slow": averaged(0.9995, 0.98, 0.1),
    "norm-statistics-behind": slow_norms(0.01, 0.9, 0.24),
}


@pytest.mark.parametrize("cause", modes.CHECKS)
def test_a_sick_run_is_named_and_a_healthy_one_is_not(cause: str) -> None:
    finding = modes.CHECKS[cause](SICK[cause])
    assert finding is not None
    assert finding.cause == cause
    assert all(evidence.speaks for evidence in finding.evidence)
    healthy = passed(training=200, evaluating=40)
    assert modes.CHECKS[cause](healthy) is None
    assert modes.CHECKS[cause](Observed()) is None


@pytest.mark.parametrize(
    ("cause", "seen"),
    [
        ("trained-in-eval-mode", passed(training=200, training_in_eval_mode=40)),
        ("trained-in-eval-mode", passed(training=8, training_in_eval_mode=8)),
        # A recalibration goes before evaluation with the statistics that it measured.
        (
            "batch-statistics-in-evaluation",
            passed(evaluating=40, evaluating_with_batch_statistics=10),
        ),
        ("dropout-in-evaluation", passed(evaluating=40, evaluating_with_dropout=1)),
        ("dropout-in-evaluation", passed(evaluating=1, evaluating_with_dropout=1)),
        ("ema-too-slow", averaged(0.9995, 0.98, 0.97)),  # no harm
        ("ema-too-slow", averaged(0.95, 0.98, 0.6)),  # harm of another kind: nothing old is left
    ],
)
def test_look_alikes_pass(cause: str, seen: Observed) -> None:
    assert modes.CHECKS[cause](seen) is None


def test_modes_before_the_first_layer_that_learns_do_not_matter() -> None:
    seen = SICK["trained-in-eval-mode"]
    layers = [replace(layer, trainable=False) for layer in seen.structure.layers]
    dropout = LayerFacts("drop", "dropout", "Dropout")
    head = LayerFacts("head", "linear", "Linear", params=10, trainable=True)
    seen = replace(seen, structure=replace(seen.structure, layers=[*layers, dropout, head]))
    assert modes.trained_in_eval_mode(seen) is None
    seen.structure.layers.append(dropout)
    assert modes.trained_in_eval_mode(seen) is not None


def test_the_share_of_the_first_half_is_exact() -> None:
    average = []
    for decay, warms_up in ((0.99, False), (0.99, True)):
        share, steps = 1.0, 50
        for step in range(steps):
            d = min(decay, (1 + step) / (10 + step)) if warms_up else decay
            share = 1.0 if step < steps // 2 else share * d
        average.append(share)
        assert modes._share_of_first_half(decay, steps, warms_up=warms_up) == pytest.approx(share)
    assert average[1] < average[0]


def found(seen: Observed) -> list[str]:
    return [cause for cause, check in modes.CHECKS.items() if check(seen) is not None]


def only(kind: type[nn.Module]) -> object:
    def judge(model: nn.Module) -> None:
        model.eval()
        for module in model.modules():
            if isinstance(module, kind):
                module.train()

    return judge


def test_real_runs() -> None:
    torch.manual_seed(0)
    model = Tiny(dropout=0.3)
    average = copy.deepcopy(model)
    assert found(train(model, steps=40, average=average, decay=0.5)) == []
    seen = train(Tiny(), steps=12, mode=lambda model: model.eval())
    assert found(seen) == ["trained-in-eval-mode"]
    frozen = Tiny()
    for module in frozen.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(requires_grad=False)
    assert found(train(frozen, steps=6)) == ["frozen-norm-uses-batch-statistics"]


def test_real_evaluation_in_the_wrong_mode() -> None:
    torch.manual_seed(0)
    wrong = train(Tiny(dropout=0.3), steps=40, judge=lambda model: model.train())
    assert found(wrong) == ["batch-statistics-in-evaluation", "dropout-in-evaluation"]
    norms = train(Tiny(), steps=40, judge=only(nn.BatchNorm2d))  # type: ignore[arg-type]
    assert found(norms) == ["batch-statistics-in-evaluation"]
    dropout = train(Tiny(dropout=0.3), steps=40, judge=only(nn.Dropout))  # type: ignore[arg-type]
    assert found(dropout) == ["dropout-in-evaluation"]


def test_real_evaluation_with_our_own_dropout_on() -> None:
    torch.manual_seed(0)
    for layer in (Dropout(0.3), StochasticDepth(0.3)):
        model = Tiny()
        model.features[5] = layer
        seen = train(model, steps=40, judge=only(type(layer)))  # type: ignore[arg-type]
        assert found(seen) == ["dropout-in-evaluation"]


def test_a_real_average_that_is_too_slow() -> None:
    torch.manual_seed(0)
    model = Tiny()
    seen = train(model, average=copy.deepcopy(model), decay=0.9995)
    finding = modes.ema_too_slow(seen)
    assert finding is not None
    assert "0.9995" in finding.says
    assert found(seen) == ["ema-too-slow"]


@pytest.mark.parametrize(
    "seen",
    [
        slow_norms(0.1, 0.9, 0.24),  # forgotten by then: something else is wrong
        slow_norms(0.01, 0.9, 0.86),  # no harm
        slow_norms(0.01, 0.24, 0.9),
        slow_norms_in_short(0.99, 0.97),
        slow_norms_in_short(0.99, 0.11, ema=0.99),  # the average may be what is bad
    ],
)
def test_slow_norms_must_be_old_and_do_harm(seen: Observed) -> None:
    assert modes.norm_statistics_behind(seen) is None


def test_slow_norms_are_named_by_the_end_of_a_run_too_short_for_late_looks() -> None:
    finding = modes.norm_statistics_behind(slow_norms_in_short(0.99, 0.11))
    assert finding is not None
    assert all(evidence.speaks for evidence in finding.evidence)


def test_a_real_run_with_slow_norms_is_named() -> None:
    torch.manual_seed(3)
    model = Tiny(norms=True)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1e-4
    seen = train(model, lr=0.05, steps=60)
    finding = modes.norm_statistics_behind(seen)
    assert finding is not None
    assert finding.evidence[0].value == pytest.approx(0.9999**30)
