"""Use of earlier maps, against a slow literal version; and findings both ways."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fathom.experiments.dense_reuse import (
    Map,
    dense_reuse,
    early_by_late,
    last_by_classifier,
    learnt,
    of_transitions,
    readers,
    reuse,
    unevenness,
)
from fathom.experiments.nouns import Findings
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model
from tests.experiments.scaffold import results, setting

SETTINGS = settings(deadline=None, derandomize=True, database=None, max_examples=10)


def network(depth: int, growth: int, stem: int, *, bottleneck: bool = False) -> ImageClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(depth + growth)
        return build_model(
            "cifar_densenet40_k12",
            num_classes=4,
            depths=[depth] * 2,
            growth=growth,
            stem_width=stem,
            bottleneck=bottleneck,
        )


def literal(model: ImageClassifier, depth: int, growth: int, stem: int) -> list[Map]:
    """Every weight by itself: the channel it reads says which source that belongs to."""
    named = dict(model.named_parameters())
    transition = "stages.1.0.2.weight"
    found, entered = [], stem
    for stage in (0, 1):
        block = f"stages.{stage}.{stage}"
        names = [f"{block}.{layer}.entry.conv.weight" for layer in range(depth)]
        names.append("head.2.weight" if stage else transition)
        table = [[0.0] * (depth + 1) for _ in range(depth + 1)]
        for reader, name in enumerate(names):
            sums, counts = [0.0] * (reader + 1), [0] * (reader + 1)
            for kernel in named[name].tolist():
                for channel, weights in enumerate(kernel):
                    source = 0 if channel < entered else 1 + (channel - entered) // growth
                    values = torch.tensor(weights).flatten().abs().tolist()
                    sums[source] += sum(values)
                    counts[source] += len(values)
            means = [total / count for total, count in zip(sums, counts, strict=True)]
            for source, mean in enumerate(means):
                table[source][reader] = mean / (sum(means) / len(means))
        found.append(table)
        entered += depth * growth
    return found


@SETTINGS
@given(depth=st.integers(2, 4), growth=st.integers(1, 4), stem=st.integers(2, 6))
def test_use_is_the_mean_absolute_weight_of_every_connection(
    depth: int, growth: int, stem: int
) -> None:
    model = network(depth, growth, stem)
    expected = literal(model, depth, growth, stem)
    for block, table in zip(reuse(readers(model)), expected, strict=True):
        for row, values in zip(block, table, strict=True):
            assert row == pytest.approx(values, abs=1e-4)


def test_bottlenecks_are_read_by_their_first_convolution() -> None:
    found = reuse(readers(network(3, 2, 4, bottleneck=True)))
    assert [len(block) for block in found] == [4, 4]


@SETTINGS
@given(left=st.floats(-2, 2), seed=st.integers(0, 99))
def test_the_learnt_part_holds_nothing_of_the_start(left: float, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    start, added = (torch.randn(3, 4, generator=rng).double() for _ in range(2))
    found = learnt(start, added)
    dot = sum(a * b for a, b in zip(*(x.flatten().tolist() for x in (start, found)), strict=True))
    assert dot == pytest.approx(0, abs=1e-9)
    assert torch.allclose(learnt(start, left * start + added), found)
    assert torch.allclose(learnt(start, found), found)


def test_a_fresh_network_reads_all_maps_evenly() -> None:
    recipe = dense_reuse(setting()).arms[0].recipe
    assert recipe is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(recipe.model.name, in_channels=1, **recipe.model.spec)
    maps = reuse(readers(model))
    assert [len(block) for block in maps] == [7, 7, 7]
    assert sum(isinstance(m, nn.Conv2d) for m in model.modules()) + 1 == 22  # layers
    assert unevenness(maps) < 0.05
    assert early_by_late(maps) == pytest.approx(1, abs=0.05)


def test_summaries_of_a_map_by_hand() -> None:
    #          readers: 1, 2, 3, 4, and what follows
    block = [
        [1.0, 0.5, 0.4, 0.3, 0.2],
        [0.0, 1.5, 1.2, 1.1, 0.6],
        [0.0, 0.0, 1.4, 1.0, 0.8],
        [0.0, 0.0, 0.0, 1.6, 1.2],
        [0.0, 0.0, 0.0, 0.0, 2.2],
    ]
    maps = [block, block]
    assert early_by_late(maps) == pytest.approx((1.2 + 1.1 + 1.4 + 1.0) / 4)
    assert of_transitions(maps) == pytest.approx((0.5 + 0.4 + 0.3) / 3)
    assert last_by_classifier(maps) == pytest.approx(2.2)
    used = [value for row in block for value in row if value]
    assert unevenness(maps) == pytest.approx(sum(abs(v - 1) for v in used) / len(used))


def made(input_: float, early: float, last: float) -> list[Map]:
    """Two blocks of two layers: uses of the input, of the first layer, and of the last."""
    return [[[1.0, input_, 1.0], [0.0, early, 1.0], [0.0, 0.0, last]]] * 2


def findings(parts: list[list[Map]]) -> Findings:
    even = made(1.0, 1.0, 1.0)
    cells = [{"weights": even, "learnt": part, "test_error": 0.1} for part in parts]
    return dense_reuse(setting()).findings(results({"dense network": cells}))


def test_what_the_paper_found_is_recognised() -> None:
    found = findings([made(0.5 + s, 1.5 - s, 1.4 + s) for s in (0.0, 0.01, 0.02)])
    uneven, early, handed, last = found.sentences
    assert uneven.startswith("The weights differ from even use by 0.0 % ")
    assert "early maps stay in direct use, as in the paper" in early
    assert handed.endswith("it gets less weight than the layers do, as in the paper.")
    assert last.endswith("it prefers late maps, as in the paper.")


def test_what_contradicts_the_paper_is_said() -> None:
    found = findings([made(1.7 + s, 0.3 - s, 0.5 + s) for s in (0.0, 0.01, 0.02)])
    _, early, handed, last = found.sentences
    assert "hardly read later on, which contradicts the paper" in early
    assert "this contradicts the paper" in handed
    assert "this contradicts the paper" in last


def test_even_use_shows_no_preference() -> None:
    found = findings([made(1.0, 1.0 + s, 1.0) for s in (0.001, 0.002, 0.003)])
    _, _, handed, last = found.sentences
    assert "no difference from even use" in handed
    assert "no difference from even use" in last


def test_the_heat_map_is_the_mean_over_the_seeds() -> None:
    found = findings([made(0.5, 1.5, 1.0), made(0.7, 1.3, 1.0), made(0.9, 1.1, 1.0)])
    panel = found.to_dict()["charts"][0]["panels"][0]
    assert panel["values"][0] == pytest.approx([1.0, 0.7, 1.0])
    assert panel["x"] == [1.0, 2.0, 3.0]
    assert panel["y"] == [0.0, 1.0, 2.0]
