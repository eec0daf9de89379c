"""Arithmetic over paired seeds, and sentences that say what the numbers show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.ablation import Budget, Plan, choose_arms, make_plan
from fathom.ablation.results import RunResult, collect, paired
from tests.ablation.small import BASE, plan_of, write_run

Scores = Mapping[str, Sequence[float | None]]


def scored(top1: float | None, seed: int = 0, state: Any = "finished", **more: Any) -> RunResult:
    return RunResult(f"x-{seed}", seed, state, top1, **more)


pairs = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6)


@settings(deadline=None, derandomize=True, database=None)
@given(pairs)
def test_an_interval_is_mean_and_t_standard_errors(values: list[tuple[float, float]]) -> None:
    found = paired([scored(a) for a, _ in values], [scored(b) for _, b in values])
    differences = [a - b for a, b in values]
    quantile = {2: 12.7062, 3: 4.30265, 4: 3.18245, 5: 2.77645, 6: 2.57058}[len(values)]
    half = quantile * stdev(differences) / math.sqrt(len(values))
    assert found is not None
    assert found.mean == pytest.approx(fmean(differences), abs=1e-12)
    assert found.low == pytest.approx(found.mean - half, rel=1e-4, abs=1e-5)
    assert found.high == pytest.approx(found.mean + half, rel=1e-4, abs=1e-5)


def test_only_seeds_that_both_have_finished_are_paired() -> None:
    base = [scored(0.5), scored(0.6), scored(None, state="diverged")]
    found = paired([scored(0.7), scored(None, state="unfinished"), scored(0.9)], base)
    assert found is not None
    assert found.mean == pytest.approx(0.2)
    assert (found.low, found.high, found.pairs) == (None, None, 1)
    assert paired([scored(None)], [scored(0.5)]) is None


SCORES = {
    "helps": ([0.50, 0.60, 0.70], [0.40, 0.51, 0.60], "ema helps: without it top-1 falls by 9.67 "
              "points (95 % interval 8.23 to 11.10)."),
    "hurts": ([0.50, 0.60, 0.70], [0.60, 0.69, 0.80], "ema hurts: without it top-1 rises by 9.67 "
              "points (95 % interval 8.23 to 11.10)."),
    "no difference shown": ([0.5, 0.6], [0.4, 0.6], "No difference that 2 seeds can show: without "
                            "it top-1 falls by 5.00 points (95 % interval -58.53 to 68.53)."),
}  # fmt: skip


@pytest.mark.parametrize("verdict", SCORES)
def test_a_sentence_says_what_the_numbers_show(verdict: str, tmp_path: Path) -> None:
    base, without, sentence = SCORES[verdict]
    plan = plan_of(seeds=len(base))
    for seed, mine, theirs in zip(plan.seeds, without, base, strict=True):
        write_run(tmp_path, "without-ema", seed, mine)
        write_run(tmp_path, "base", seed, theirs)
    results = collect(tmp_path, plan)
    arm = results.arms[1]
    assert (arm.verdict, arm.sentence) == (verdict, sentence)
    assert (results.split, results.num_images, results.runs_ended) == ("test", 100, 2 * len(base))
    assert arm.top1 == pytest.approx(fmean(without))
    assert (arm.lowest, arm.highest) == (min(without), max(without))
    assert (arm.steps, arm.epochs, arm.images_per_second) == (2, 1.5, 20)


def sentence_of(tmp_path: Path, plan: Plan, name: str, scores: Scores) -> str:
    for arm, values in scores.items():
        for seed, value in zip(plan.seeds, values, strict=False):
            write_run(tmp_path, arm, seed, value, weights="same" if value == 0.25 else "")
    return next(arm.sentence for arm in collect(tmp_path, plan).arms if arm.name == name)


def test_a_trick_that_was_added_helps_where_top1_rises(tmp_path: Path) -> None:
    arms, _ = choose_arms(BASE, added=["cutout"])
    plan = make_plan(arms, Budget(steps=1), seeds=2)
    scores = {"base": [0.5, 0.6], "with-cutout": [0.6, 0.7001]}
    sentence = sentence_of(tmp_path, plan, "with-cutout", scores)
    assert sentence.startswith("cutout helps: with it top-1 rises by 10.0")


def test_what_diverged_weighs_more_than_any_accuracy(tmp_path: Path) -> None:
    scores: Scores = {"base": [0.5, 0.6], "without-ema": [0.9, None]}
    assert sentence_of(tmp_path, plan_of(), "without-ema", scores) == (
        "ema helps: without it the loss diverged in 1 of 2 runs, at step 5, and in 0 of the base's."
    )


def test_a_base_that_diverged_says_so(tmp_path: Path) -> None:
    plan = plan_of()
    scores: Scores = {"base": [None, None], "without-ema": [0.5, 0.6]}
    assert sentence_of(tmp_path, plan, "without-ema", scores) == (
        "ema hurts: without it the loss diverged in 0 of 2 runs, and in 2 of the base's."
    )
    base = collect(tmp_path, plan).arms[0]
    assert base.sentence == ("What all others are compared with; the loss diverged in 2 of 2 runs.")


@pytest.mark.parametrize(
    ("base", "arm", "sentence"),
    [
        ([0.5], [0.6], "1 of 2 runs have ended."),
        (
            [0.25, 0.25],
            [0.25, 0.25],
            "Nothing at all: without it every run ends with the base's we",
        ),
        ([None, 0.5], [0.5, None], "No two runs of one seed have both finished"),
    ],
)
def test_sentences_of_the_rest(
    base: list[Any], arm: list[Any], sentence: str, tmp_path: Path
) -> None:
    scores = {"base": base, "without-ema": arm}
    assert sentence_of(tmp_path, plan_of(), "without-ema", scores).startswith(sentence)


def test_one_seed_tells_nothing(tmp_path: Path) -> None:
    scores = {"base": [0.5], "without-ema": [0.4]}
    assert sentence_of(tmp_path, plan_of(seeds=1), "without-ema", scores) == (
        "One seed cannot tell: without it top-1 falls by 10.00 points."
    )
