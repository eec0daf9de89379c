"""Evaluation in training mode: a network that it must spoil, and sentences both ways."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fathom.data.batches import Batch
from fathom.experiments import Findings
from fathom.experiments.bn_eval_bug import bn_eval_bug
from fathom.experiments.nouns import Values
from fathom.figures.charts import LineChart
from fathom.runtime import choose_runtime, generator
from tests.experiments.scaffold import results, setting

IMAGES = 40


def bright_or_dark() -> nn.Sequential:
    """Names dark images (mean -1) 0 and bright ones (mean 1) 1, by their mean alone."""
    linear = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 4))
    return nn.Sequential(nn.BatchNorm2d(1, momentum=1.0), nn.Flatten(), linear)


def measured(sizes: list[int]) -> tuple[Values, nn.Sequential]:
    """What is measured of it, on as many dark images as bright ones in turns."""
    targets = torch.arange(IMAGES) % 2
    noise = torch.randn(IMAGES, 1, 2, 2, generator=generator("noise"))
    images = (2.0 * targets - 1).view(-1, 1, 1, 1) + 0.1 * noise

    def halves(**asked: int) -> Iterator[Batch]:
        assert asked == {"images": 512}
        for rows in torch.split(torch.arange(IMAGES), IMAGES // 2):
            yield Batch(images[rows], targets[rows], rows)

    model = bright_or_dark()
    cell = SimpleNamespace(
        arm=SimpleNamespace(settings={"sizes": sizes, "images": 512}),
        batches=halves,
        model=model,
        runtime=choose_runtime("cpu"),
        seed=0,
    )
    return bn_eval_bug(setting()).measure(cell), model  # type: ignore[arg-type]


def test_what_the_batch_takes_away_is_lost() -> None:
    values, _ = measured([1, 4, 16])
    assert values["sizes"] == [1, 4, 16]
    assert values["images"] == 32  # whole batches of the largest size
    assert values["proper"] == 1.0
    assert values["shuffled"][0] < 0.8  # the mean of one image is taken away
    assert values["shuffled"][2] > 0.95
    assert max(values["sorted"]) < 0.8  # a batch holds one class
    assert max(values["after"]) < 0.9  # the last batch is what it now takes for the mean


def test_the_trained_network_stays_as_it_was() -> None:
    _, model = measured([1, 4])
    for name, tensor in bright_or_dark().state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])


def test_sizes_above_the_number_of_images_are_left_out() -> None:
    values, _ = measured([1, 32, 64])
    assert values["sizes"] == [1, 32]
    assert [len(values[name]) for name in ("shuffled", "sorted", "after")] == [2, 2, 2]


def told(wrong: float) -> Findings:
    """Findings where evaluation mode has 90 % and everything else what is given."""
    runs = [
        {
            "sizes": [1, 128],
            "images": 256,
            "proper": 0.9 + jitter,
            **{name: [wrong + jitter / 2] * 2 for name in ("shuffled", "sorted", "after")},
        }
        for jitter in (0.0, 0.01, 0.02)
    ]
    return bn_eval_bug(setting()).findings(results({"residual": runs}))


def test_a_loss_is_told_with_its_interval() -> None:
    found = told(0.5)
    assert found.sentences[0].startswith("In evaluation mode the network names 91.0 %")
    for sentence in found.sentences[1:]:
        assert "-40.5 points (" in sentence
        assert "no loss" not in sentence
    (chart,) = found.charts
    assert isinstance(chart, LineChart)
    assert len(chart.series) == 4


@pytest.mark.parametrize(("wrong", "words"), [(0.905, "no loss is shown"), (0.99, "but a gain")])
def test_no_loss_is_said_plainly(wrong: float, words: str) -> None:
    assert all(words in sentence for sentence in told(wrong).sentences[1:])
