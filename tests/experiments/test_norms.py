"""Norms and parts of a batch: what parts change in the gradient, and each sentence both ways."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fathom.experiments.norms import norms
from fathom.figures.charts import LineChart
from fathom.models.registry import build_model
from fathom.training.choices import CrossEntropy
from fathom.training.loss import parts, training_loss
from tests.experiments.scaffold import CIFAR, DIGITS, results, setting


def gradient(norm: str, accumulate: int) -> Tensor:
    """The gradient of a step of eight images, in so many parts, as the trainer takes it."""
    torch.manual_seed(0)
    spec = {"depths": [1, 1, 1], "widths": [4, 4, 4], "norm": norm}
    model = build_model("cifar_resnet20", num_classes=3, in_channels=1, **spec).double()
    images = torch.randn(8, 1, 8, 8, dtype=torch.float64)
    targets = torch.arange(8) % 3
    for some, wanted, share in parts(images, targets, accumulate, None):
        loss, _ = training_loss(model, some, wanted, CrossEntropy())
        (loss * share).backward()  # type: ignore[no-untyped-call]
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_parts_change_the_gradient_with_batch_norm_alone() -> None:
    for norm in ("group", "layer", "instance"):
        torch.testing.assert_close(gradient(norm, 1), gradient(norm, 4))
    whole, split = gradient("batch", 1), gradient("batch", 4)
    assert F.cosine_similarity(whole, split, dim=0) < 0.99


def test_batch_norm_has_all_parts_and_the_others_the_ends() -> None:
    for summary, batch in ((DIGITS, [2, 8, 32, 64]), (CIFAR, [2, 8, 32, 128, 256])):
        sizes: dict[str, list[int]] = {}
        for arm in norms(setting(summary)).arms:
            norm, part = arm.name.split()
            sizes.setdefault(norm, []).append(int(part))
            assert arm.recipe is not None
            assert arm.recipe.batch_size == batch[-1]
            assert arm.recipe.batch_size // arm.recipe.accumulate == int(part)
        ends = [batch[0], batch[-1]]
        assert sizes == {"batch": batch, "group": ends, "layer": ends, "instance": ends}


def told(batch_small: float, batch_large: float) -> tuple[str, ...]:
    """Sentences where group norm has 30 % error, layer norm 35, and batch norm what is given."""
    errors = {"batch 2": batch_small, "batch 64": batch_large}
    errors |= {f"{norm} {part}": error for norm, error in (("group", 0.3), ("layer", 0.35))
               for part in (2, 64)}  # fmt: skip
    runs = {
        arm: [{"train_error": 0.0, "test_error": error + 0.001 * seed} for seed in range(3)]
        for arm, error in errors.items()
    }
    found = norms(setting()).findings(results(runs))
    (chart,) = found.charts
    assert isinstance(chart, LineChart)
    assert [series.name for series in chart.series] == ["batch", "group", "layer"]
    assert list(chart.series[0].x) == [2, 64]
    return found.sentences


def test_each_effect_is_told_both_ways() -> None:
    rising = told(0.5, 0.2)
    assert "Small parts are worse" in rising[0]
    assert "show no difference" in rising[1]
    assert "group norm, 30.1 %" in rising[3]
    assert "batch norm is the worse" in rising[3]
    assert "batch norm is the better" in rising[4]
    falling = told(0.3, 0.4)
    assert "Large parts are worse" in falling[0]
    assert "the intervals overlap" in falling[3]
    assert "batch norm is the worse" in falling[4]
