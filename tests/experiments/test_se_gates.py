"""Gates by class, against a slow literal version; and findings both ways."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fathom.data.batches import Batch
from fathom.experiments.nouns import Findings
from fathom.experiments.se_gates import mean_gates, se_gates, specificity
from fathom.layers import SqueezeExcitation
from fathom.models.registry import build_model
from fathom.runtime import choose_runtime
from tests.experiments.scaffold import results, setting

SETTINGS = settings(deadline=None, derandomize=True, database=None, max_examples=20)


def test_mean_gates_are_those_of_each_image_alone() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model("cifar_se_resnet20", num_classes=4, in_channels=1, depths=[1, 2, 1])
    images = torch.randn(7, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([2, 0, 2, 3, 0, 2, 3])  # none of class 1
    batches = [
        Batch(images[part], targets[part], torch.arange(7)[part])
        for part in (slice(0, 4), slice(4, 7))
    ]
    found = mean_gates(model, batches, choose_runtime("cpu"))
    assert [tuple(gates.shape) for gates in found] == [(3, 16), (3, 32), (3, 32), (3, 64)]
    gated = [m for m in model.modules() if isinstance(m, SqueezeExcitation)]
    assert not any(module.gate._forward_hooks for module in gated)

    place = 0
    model.eval()
    for stage in model.stages:
        for block in stage.children():
            gate = next(m for m in block.modules() if isinstance(m, SqueezeExcitation))
            branch = next(m for m in block.children() if isinstance(m, nn.Sequential))
            before = nn.Sequential(model.stem, *_blocks_before(model.stages, block))
            by_class: dict[int, list[torch.Tensor]] = {}
            for image, target in zip(images, targets.tolist(), strict=True):
                with torch.no_grad():
                    inside = branch[:-1](before(image[None]))
                    pooled = inside.mean((2, 3), keepdim=True)
                    gates = torch.sigmoid(gate.expand(torch.relu(gate.reduce(pooled))))
                by_class.setdefault(target, []).append(gates.flatten())
            for row, target in enumerate(sorted(by_class)):
                literal = torch.stack(by_class[target]).mean(0)
                assert found[place][row].tolist() == pytest.approx(literal.tolist(), abs=1e-5)
            place += 1
    assert place == 4


def _blocks_before(stages: nn.ModuleList, block: nn.Module) -> list[nn.Module]:
    blocks = [b for stage in stages for b in stage.children()]
    return blocks[: next(i for i, b in enumerate(blocks) if b is block)]


@SETTINGS
@given(classes=st.integers(2, 5), channels=st.integers(2, 6), seed=st.integers(0, 99))
def test_specificity_is_a_ratio_of_deviations(classes: int, channels: int, seed: int) -> None:
    gates = torch.rand(classes, channels, generator=torch.Generator().manual_seed(seed)).double()
    table = gates.tolist()
    means = [sum(row[c] for row in table) / classes for c in range(channels)]
    within = [sum((row[c] - means[c]) ** 2 for row in table) / classes for c in range(channels)]
    centre = sum(means) / channels
    across = sum((mean - centre) ** 2 for mean in means) / channels
    expected = (sum(within) / channels) ** 0.5 / across**0.5
    assert specificity(gates) == pytest.approx(expected)
    assert specificity(0.5 * gates + 0.1) == pytest.approx(expected)


def test_gates_alike_for_all_classes_are_not_specific() -> None:
    assert specificity(torch.tensor([[0.1, 0.9, 0.5]] * 4)) == pytest.approx(0, abs=1e-6)


def findings(rows: Sequence[Sequence[float]]) -> Findings:
    """Of three blocks, one in each stage."""
    gates = {"1": [[0.1, 0.2], [0.3, 0.4]], "3": [[0.5, 0.6], [0.7, 0.8]]}
    cells = [
        {"specificity": list(row), "stages": [0, 1, 2], "gates": gates, "test_error": 0.1}
        for row in rows
    ]
    return se_gates(setting()).findings(results({"gated network": cells}))


def test_gates_that_become_specific_agree_with_the_paper() -> None:
    found = findings([(0.1, 0.2, 0.5), (0.11, 0.2, 0.52), (0.09, 0.2, 0.51)])
    assert "become specific to the class with depth, as in the paper" in found.sentences[1]
    assert "Block 3 of 3" in found.sentences[2]
    assert "less specific" not in found.sentences[2]


def test_gates_that_become_alike_contradict_it() -> None:
    found = findings([(0.5, 0.9, 0.1), (0.51, 0.91, 0.11), (0.52, 0.9, 0.1)])
    assert "contradicts the paper" in found.sentences[1]
    assert found.sentences[2].startswith("Block 2 of 3 has the largest ratio, 0.90")
    assert "less specific again" in found.sentences[2]


def test_overlapping_intervals_show_nothing() -> None:
    found = findings([(0.1, 0.2, 0.5), (0.6, 0.2, 0.2), (0.3, 0.2, 0.4)])
    assert "not shown" in found.sentences[1]


def test_charts_without_intervals_for_a_single_seed() -> None:
    curve, maps = findings([(0.1, 0.2, 0.5)]).to_dict()["charts"]
    assert curve["series"][0]["low"] is None
    assert [panel["name"] for panel in maps["panels"]] == ["Block 1", "Block 3"]
