"""Regularisers against literal versions of their formulas."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fathom.errors import UserError
from fathom.regularize import (
    Dropout,
    PlainDropout,
    StochasticDepth,
    dropout,
    linear_decay,
    plain_dropout,
    smooth_labels,
    stochastic_depth,
)


def literal_stochastic_depth(branch: Tensor, survives: list[bool], drop: float) -> Tensor:
    """Huang et al. 2016, arXiv:1603.09382, Equation 2, with the scaling moved into training."""
    return torch.stack(
        [
            sample / (1 - drop) if alive else torch.zeros_like(sample)
            for sample, alive in zip(branch, survives, strict=True)
        ]
    )


@pytest.mark.parametrize("shape", [(64,), (64, 5), (64, 3, 4, 2)])
@pytest.mark.parametrize("drop", [0.1, 0.5, 0.9])
def test_whole_samples_are_dropped_and_the_others_scaled(
    shape: tuple[int, ...], drop: float
) -> None:
    torch.manual_seed(0)
    branch = torch.rand(shape) + 1  # never zero by itself
    out = stochastic_depth(branch, drop, training=True)
    survives = [bool(sample.any()) for sample in out]
    torch.testing.assert_close(out, literal_stochastic_depth(branch, survives, drop))
    assert 0 < sum(survives) < 64


@pytest.mark.parametrize("drop", [0.1, 0.5, 0.8])
def test_the_expectation_is_the_branch(drop: float) -> None:
    """The mean of n draws of 0 or 1 / (1 - p) deviates by sqrt(p / (1 - p) / n)."""
    torch.manual_seed(0)
    count = 100_000
    mean = stochastic_depth(torch.ones(count, 1), drop, training=True).mean().item()
    assert mean == pytest.approx(1, abs=5 * (drop / (1 - drop) / count) ** 0.5)


def test_the_share_of_dropped_samples_is_the_probability() -> None:
    torch.manual_seed(0)
    out = stochastic_depth(torch.ones(100_000), 0.3, training=True)
    assert (out == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(("drop", "training"), [(0.9, False), (0.0, True), (0.0, False)])
def test_nothing_changes_in_evaluation_or_without_a_rate(drop: float, training: bool) -> None:
    branch = torch.randn(8, 3)
    state = torch.get_rng_state()
    assert stochastic_depth(branch, drop, training=training) is branch
    assert torch.equal(torch.get_rng_state(), state)


def test_the_input_is_not_written_to() -> None:
    torch.manual_seed(0)
    branch = torch.ones(32, 2)
    stochastic_depth(branch, 0.5, training=True)
    assert bool((branch == 1).all())


def test_a_dropped_sample_gives_no_gradient() -> None:
    torch.manual_seed(0)
    branch = torch.ones(32, 2, requires_grad=True)
    out = stochastic_depth(branch, 0.5, training=True)
    out.sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(branch.grad, out.detach())


def test_type_and_memory_format_are_kept() -> None:
    branch = torch.ones(4, 3, 2, 2, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    out = stochastic_depth(branch, 0.5, training=True)
    assert out.dtype is torch.bfloat16
    assert out.is_contiguous(memory_format=torch.channels_last)


def test_the_module_is_the_function_while_training() -> None:
    module, branch = StochasticDepth(0.5), torch.randn(16, 4)
    torch.manual_seed(3)
    found = module.train()(branch)
    torch.manual_seed(3)
    assert torch.equal(found, stochastic_depth(branch, 0.5, training=True))
    assert module.eval()(branch) is branch
    assert repr(module) == "StochasticDepth(drop=0.5)"


def test_the_same_seed_drops_the_same_samples() -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(7)
        found.append(stochastic_depth(torch.ones(64), 0.5, training=True))
    assert torch.equal(*found)


def test_probabilities_rise_in_a_line_to_the_last_blocks() -> None:
    """arXiv:1603.09382, Equation 4: p_l = 1 - l / L (1 - p_L) survives, so l / L drop is lost."""
    blocks, drop = 54, 0.5
    survives = [1 - layer / blocks * (1 - (1 - drop)) for layer in range(1, blocks + 1)]
    assert linear_decay(drop, blocks) == pytest.approx([1 - p for p in survives])
    assert linear_decay(drop, blocks)[-1] == drop
    assert linear_decay(0.2, 1) == [0.2]
    assert linear_decay(0.0, 3) == [0.0, 0.0, 0.0]
    assert linear_decay(0.3, 0) == []


def test_the_expected_depth_is_the_papers() -> None:
    """arXiv:1603.09382, Section 3: with p_L = 0.5 the expected depth of 54 blocks is about 40."""
    assert sum(1 - drop for drop in linear_decay(0.5, 54)) == pytest.approx(40, abs=0.5)


@pytest.mark.parametrize("drop", [0.1, 0.5, 0.9])
def test_dropout_is_that_of_pytorch(drop: float) -> None:
    """Element by element: zero, or divided by what survives; the same draws as PyTorch's."""
    x = torch.rand(40, 30) + 1
    torch.manual_seed(2)
    found = dropout(x, drop, training=True)
    torch.manual_seed(2)
    torch.testing.assert_close(found, F.dropout(x, drop, training=True))
    kept = found != 0
    torch.testing.assert_close(found[kept], x[kept] / (1 - drop))
    assert kept.float().mean().item() == pytest.approx(1 - drop, abs=0.05)
    assert dropout(x, drop, training=False) is x
    assert dropout(x, 0.0, training=True) is x


@pytest.mark.parametrize("drop", [0.1, 0.5, 0.9])
def test_plain_dropout_is_the_papers(drop: float) -> None:
    """Srivastava et al. 2014, Section 4: r * y in training, (1 - drop) * y in evaluation."""
    x = torch.rand(40, 30) + 1
    torch.manual_seed(2)
    found = plain_dropout(x, drop, training=True)
    kept = found != 0
    assert torch.equal(found[kept], x[kept])
    assert kept.float().mean().item() == pytest.approx(1 - drop, abs=0.05)
    literal = [[(1 - drop) * value for value in row] for row in x.tolist()]
    torch.testing.assert_close(plain_dropout(x, drop, training=False), torch.tensor(literal))


@pytest.mark.parametrize("function", [dropout, plain_dropout])
@pytest.mark.parametrize("drop", [0.2, 0.5, 0.8])
def test_evaluation_is_the_expectation_of_training(
    function: Callable[..., Tensor], drop: float
) -> None:
    """The mean of n draws, of which the wider deviates by sqrt(p / (1 - p) / n)."""
    torch.manual_seed(0)
    count = 100_000
    mean = function(torch.ones(count), drop, training=True).mean().item()
    wanted = function(torch.ones(1), drop, training=False).item()
    assert mean == pytest.approx(wanted, abs=5 * (drop / (1 - drop) / count) ** 0.5)


def test_dropout_leaves_its_input_and_drops_the_gradient() -> None:
    for function in (dropout, plain_dropout):
        torch.manual_seed(0)
        x = torch.ones(64, requires_grad=True)
        out = function(x, 0.5, training=True)
        out.sum().backward()  # type: ignore[no-untyped-call]
        assert bool((x == 1).all())
        torch.testing.assert_close(x.grad, out.detach())


@pytest.mark.parametrize(
    ("module", "function"), [(Dropout, dropout), (PlainDropout, plain_dropout)]
)
def test_dropout_modules_are_the_functions(
    module: Callable[[float], torch.nn.Module], function: Callable[..., Tensor]
) -> None:
    layer, x = module(0.25), torch.randn(16, 4)
    for training in (True, False):
        torch.manual_seed(3)
        found = layer.train(training)(x)
        torch.manual_seed(3)
        assert torch.equal(found, function(x, 0.25, training=training))
    assert repr(layer).endswith("Dropout(drop=0.25)")
    with pytest.raises(UserError, match="a dropout of 1"):
        module(1.0)


@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_smoothed_labels_are_the_papers(num_classes: int, smoothing: float) -> None:
    """arXiv:1512.00567, Section 7: q'(k) = (1 - eps) delta(k, y) + eps / K."""
    targets = torch.arange(7) % num_classes
    literal = [
        [(1 - smoothing) * (k == y) + smoothing / num_classes for k in range(num_classes)]
        for y in targets.tolist()
    ]
    rows = smooth_labels(targets, num_classes, smoothing)
    torch.testing.assert_close(rows, torch.tensor(literal))
    torch.testing.assert_close(rows.sum(1), torch.ones(7))
    hard = F.one_hot(targets, num_classes).float()
    assert torch.equal(smooth_labels(hard, num_classes, smoothing), rows)


def test_smoothed_labels_give_pytorchs_loss() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(9, 5), torch.arange(9) % 5
    torch.testing.assert_close(
        F.cross_entropy(logits, smooth_labels(targets, 5, 0.1)),
        F.cross_entropy(logits, targets, label_smoothing=0.1),
    )


def test_labels_that_cannot_be_smoothed_are_named() -> None:
    with pytest.raises(UserError, match=r"smoothing of 1\.5"):
        smooth_labels(torch.arange(3), 3, 1.5)
    with pytest.raises(UserError, match=r"targets of \(2, 3\)"):
        smooth_labels(torch.ones(2, 3), 4, 0.1)
