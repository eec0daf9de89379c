"""The probe against scikit-learn, against searches done slowly, and in hard cases."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from fathom.errors import UserError
from fathom.transfer import probe as module
from fathom.transfer.probe import STRENGTHS, fit_probe
from fathom.transfer.rows import Rows
from tests.transfer.features import some_features

deterministic = settings(deadline=None, derandomize=True, database=None, max_examples=10)
COUNTS = (40, 30, 20, 10)


@pytest.mark.parametrize("width", [24, 200])
def test_a_probe_is_logistic_regression_on_scaled_features(width: int) -> None:
    values, targets = some_features(COUNTS, width=width)
    probe = fit_probe(values, targets, num_classes=4, seed=0, strengths=[0.5])
    centred = values - values.mean(0)
    scale = centred.square().sum(1).mean().sqrt()
    theirs = LogisticRegression(C=1 / 0.5, tol=1e-8, max_iter=10_000)
    theirs.fit((centred / scale).double().numpy(), targets.numpy())
    expected = torch.tensor(theirs.decision_function((centred / scale).double().numpy())).float()
    torch.testing.assert_close(probe.logits(values) / probe.factor, expected, atol=5e-3, rtol=1e-3)


def test_held_out_logits_are_those_of_fits_to_the_other_folds() -> None:
    values, targets = some_features((12, 9, 6))
    probe = fit_probe(values, targets, num_classes=3, seed=5, strengths=[0.5])
    fold, parts = module._deal(Rows.of(values, targets, 3, None), None, 5)
    assert parts == probe.folds == 5
    centred = values - values.mean(0)
    rows = centred / centred.square().sum(1).mean().sqrt()
    for part in range(parts):
        theirs = LogisticRegression(C=1 / 0.5, tol=1e-8, max_iter=10_000)
        theirs.fit(rows[fold != part].double().numpy(), targets[fold != part].numpy())
        expected = torch.tensor(theirs.decision_function(rows[fold == part].double().numpy()))
        found = (probe.held_out / probe.factor)[fold[probe.scored] == part]
        found = found - found.mean(1, keepdim=True)
        expected = expected - expected.mean(1, keepdim=True)
        torch.testing.assert_close(found, expected.float(), atol=0.02, rtol=0.02)


@deterministic
@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    folds=st.none() | st.integers(2, 6),
    seed=st.integers(0, 3),
)
def test_folds_differ_by_one_image_and_leave_every_class(
    counts: list[int], folds: int | None, seed: int
) -> None:
    targets = torch.cat([torch.full((count,), i) for i, count in enumerate(counts)])
    rows = Rows.of(torch.zeros(len(targets), 1), targets, len(counts), None)
    fold, parts = module._deal(rows, folds, seed)
    if max(counts) == 1:
        assert parts == 0
        assert (fold == -1).all()
        return
    assert parts == min(folds or 5, max(counts))
    alone = torch.tensor(counts)[targets] == 1
    assert torch.equal(fold == -1, alone)
    for members in [fold[~alone], *(fold[targets == i] for i, n in enumerate(counts) if n > 1)]:
        sizes = torch.bincount(members, minlength=parts)
        assert sizes.max() - sizes.min() <= 1
    for part in range(parts):
        assert len(set(targets[fold != part].tolist())) == len(counts)


def test_the_strength_chosen_has_the_lowest_loss_at_its_best_factor() -> None:
    values, targets = some_features(COUNTS)
    probe = fit_probe(values, targets, num_classes=4, seed=0)
    tried = [score.strength for score in probe.scores]
    assert tried == list(STRENGTHS[: len(tried)])
    best = min(probe.scores, key=lambda score: score.loss)
    assert (probe.strength, probe.factor) == (best.strength, best.factor)
    assert len(tried) == len(STRENGTHS) or tried.index(best.strength) == len(tried) - 4
    right = (probe.held_out.argmax(1) == targets[probe.scored]).double().mean().item()
    assert probe.cv_top1 == best.top1 == right
    plain = F.cross_entropy(probe.held_out, targets[probe.scored]).item()
    assert probe.cv_loss == pytest.approx(plain, rel=1e-5)
    raw, count = probe.held_out / probe.factor, len(probe.scored)
    smooth = (count * F.one_hot(targets[probe.scored], 4) + 1 / 4) / (count + 1)
    slow = min(
        F.cross_entropy(raw * math.exp(step / 100), smooth).item() for step in range(-200, 300)
    )
    assert best.loss == pytest.approx(slow, rel=1e-4)


def test_the_factor_calibrates() -> None:
    values, targets = some_features((300, 300, 300), apart=0.7)
    probe = fit_probe(values, targets, num_classes=3, seed=0, strengths=[300.0])
    assert probe.factor > 2  # so strong a penalty alone leaves everything unsure
    assert probe.cv_ece is not None
    assert probe.cv_ece < 0.06
    unsure = (probe.held_out / probe.factor).softmax(1).max(1).values.mean().item()
    assert probe.cv_top1 is not None
    assert probe.cv_top1 - unsure > 0.1


@deterministic
@given(scale=st.floats(0.01, 100), shift=st.floats(-3, 3))
def test_scale_and_place_of_the_features_do_not_matter(scale: float, shift: float) -> None:
    values, targets = some_features((15, 15, 15))
    settings = {"num_classes": 3, "seed": 0, "strengths": [1.0, 0.1]}
    usual = fit_probe(values, targets, **settings)  # type: ignore[arg-type]
    moved = scale * (values + shift)
    other = fit_probe(moved, targets, **settings)  # type: ignore[arg-type]
    torch.testing.assert_close(other.logits(moved), usual.logits(values), atol=0.05, rtol=0.02)


def test_views_of_an_image_count_as_one_and_stay_in_one_fold() -> None:
    values, targets = some_features((20, 20, 20))
    alone = fit_probe(values, targets, num_classes=3, seed=0, strengths=[0.3])
    groups = torch.arange(60).repeat(3)
    views = fit_probe(
        values.repeat(3, 1), targets.repeat(3), num_classes=3, seed=0, strengths=[0.3],
        groups=groups,
    )  # fmt: skip
    torch.testing.assert_close(views.weight, alone.weight, atol=5e-3, rtol=5e-3)
    assert torch.equal(views.scored, torch.arange(60))
    assert views.cv_loss == pytest.approx(alone.cv_loss, rel=1e-2)


def test_a_few_images_that_are_all_right_do_not_make_it_certain() -> None:
    values, targets = some_features((4, 4), apart=20)
    probe = fit_probe(values, targets, num_classes=2, seed=0)
    assert probe.cv_top1 == 1
    assert probe.held_out.softmax(1).max(1).values.mean().item() < 0.99


def test_what_is_held_out_is_not_seen() -> None:
    rng = torch.Generator().manual_seed(0)
    values = torch.randn(100, 300, generator=rng)
    targets = torch.arange(100) % 2  # nothing to learn, and room to learn it by heart
    twice = values.repeat(2, 1), targets.repeat(2)
    probe = fit_probe(
        *twice, num_classes=2, seed=0, strengths=[0.01], groups=torch.arange(100).repeat(2)
    )
    assert (probe.logits(values).argmax(1) == targets).all()
    assert probe.cv_top1 is not None
    assert 0.3 < probe.cv_top1 < 0.7
    seen = fit_probe(*twice, num_classes=2, seed=0, strengths=[0.01])
    assert seen.cv_top1 is not None
    assert seen.cv_top1 > 0.8


def test_one_image_of_a_class_trains_and_is_not_judged() -> None:
    values, targets = some_features((1, 12, 12))
    probe = fit_probe(values, targets, num_classes=3, seed=0)
    (single,) = (targets == 0).nonzero()[:, 0].tolist()
    assert sorted(probe.scored.tolist()) == [i for i in range(25) if i != single]
    assert int(probe.logits(values)[single].argmax()) == 0


def test_one_image_of_every_class_is_fitted_blind() -> None:
    values, targets = some_features((1, 1, 1, 1))
    probe = fit_probe(values, targets, num_classes=4, seed=0)
    assert (probe.strength, probe.factor, probe.folds, probe.scores) == (1, 7, 0, ())
    assert (probe.cv_top1, probe.cv_loss, probe.cv_ece) == (None, None, None)
    assert len(probe.scored) == len(probe.held_out) == 0
    assert torch.equal(probe.logits(values).argmax(1), targets)


def test_two_images_of_every_class_are_enough_to_choose() -> None:
    values, targets = some_features((2, 2, 2, 2), apart=5)
    probe = fit_probe(values, targets, num_classes=4, seed=0)
    assert probe.folds == 2
    assert len(probe.scored) == 8
    assert probe.cv_top1 is not None
    assert probe.cv_top1 > 0.6


def test_a_balanced_probe_finds_more_of_a_rare_class() -> None:
    values, targets = some_features((400, 4), apart=0.5)
    test_values, test_targets = some_features((200, 200), apart=0.5, seed=1)
    found = {}
    for balanced in (False, True):
        probe = fit_probe(
            values, targets, num_classes=2, seed=0, strengths=[0.3], balanced=balanced
        )
        predicted = probe.logits(test_values).argmax(1)
        found[balanced] = (predicted == test_targets)[test_targets == 1].double().mean().item()
    assert found[True] > found[False] + 0.2


def test_the_seed_alone_decides() -> None:
    values, targets = some_features((15, 15, 15))
    before = torch.get_rng_state()
    one = fit_probe(values, targets, num_classes=3, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(77)
    again = fit_probe(values, targets, num_classes=3, seed=1)
    assert torch.equal(one.weight, again.weight)
    assert torch.equal(one.held_out, again.held_out)
    other = fit_probe(values, targets, num_classes=3, seed=2)
    assert not torch.equal(one.held_out, other.held_out)


def test_features_without_any_difference_give_the_frequencies() -> None:
    targets = torch.tensor([0] * 30 + [1] * 10)
    probe = fit_probe(torch.ones(40, 5), targets, num_classes=2, seed=0)
    shares = probe.logits(torch.ones(1, 5)).softmax(1)[0]
    assert shares.tolist() == pytest.approx([0.75, 0.25], abs=0.02)


def test_more_images_than_that_are_cut_into_fewer_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    values, targets = some_features((15, 15, 15))
    monkeypatch.setattr(module, "FEWER_FOLDS", (3, 44))
    assert fit_probe(values, targets, num_classes=3, seed=0, strengths=[1.0]).folds == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strengths": []}, "no strengths"),
        ({"strengths": [0.0]}, "above 0"),
        ({"folds": 1}, "2 or more folds"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object], message: str) -> None:
    values, targets = some_features((5, 5))
    with pytest.raises(UserError, match=message):
        fit_probe(values, targets, num_classes=2, seed=0, **wrong)  # type: ignore[arg-type]
