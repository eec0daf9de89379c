"""Blocks taken out of networks, and put back."""

from itertools import combinations

import pytest
import torch
from torch import Tensor

from fathom.data.batches import Batch
from fathom.experiments.paths import deleted, error_without, lesions, removable, rows
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model
from fathom.models.resnet import Block
from tests.images import CPU


@pytest.fixture(params=[True, False])
def model(request: pytest.FixtureRequest) -> ImageClassifier:
    torch.manual_seed(0)
    spec = {"depths": [3, 2], "widths": [4, 8], "residual": request.param}
    net = build_model("cifar_resnet20", num_classes=3, in_channels=1, **spec)
    net.train()(torch.randn(8, 1, 8, 8))
    return net.eval()


@pytest.fixture
def batches() -> list[Batch]:
    images = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    targets = torch.arange(12) % 3
    return [Batch(images[i : i + 6], targets[i : i + 6], torch.arange(i, i + 6)) for i in (0, 6)]


def by_hand(model: ImageClassifier, images: Tensor, out: set[tuple[int, int]]) -> Tensor:
    """The network block by block: what is out gives its shortcut alone, or nothing to change."""
    x = model.stem(images)
    for s, stage in enumerate(rows(model)):
        for b, block in enumerate(stage):
            assert isinstance(block, Block)
            if (s, b) not in out:
                x = block(x)
            elif block.shortcut is not None:
                x = torch.relu(0 * block.branch(x) + block.shortcut(x))
    logits: Tensor = model.head(x)
    return logits


def test_the_first_block_of_a_stage_stays(model: ImageClassifier) -> None:
    assert removable(model) == [(0, 1), (0, 2), (1, 1)]


def test_a_deleted_block_leaves_its_shortcut(model: ImageClassifier, batches: list[Batch]) -> None:
    images = batches[0].images
    with torch.no_grad():
        whole = model(images)
        for some in ([(0, 1)], [(0, 2), (1, 1)]):
            wanted = by_hand(model, images, set(some))
            with deleted(model, some):
                torch.testing.assert_close(model(images), wanted)
                assert not torch.allclose(model(images), whole)
            assert torch.equal(model(images), whole)


def test_blocks_come_back_after_an_error(model: ImageClassifier) -> None:
    blocks = list(model.stages.modules())
    with pytest.raises(ZeroDivisionError), deleted(model, [(0, 1), (1, 1)]):
        1 / 0  # noqa: B018
    assert list(model.stages.modules()) == blocks


def test_lesions_average_over_each_block_and_over_random_ones(
    model: ImageClassifier, batches: list[Batch]
) -> None:
    counts, errors = lesions(model, batches, CPU, draws=8, seed=0)
    assert counts == [0, 1, 2]

    def error(some: tuple[tuple[int, int], ...]) -> float:
        wrong = 0
        for batch in batches:
            with torch.no_grad():
                wrong += int(
                    (by_hand(model, batch.images, set(some)).argmax(1) != batch.targets).sum()
                )
        return wrong / 12

    places = removable(model)
    assert errors[0] == pytest.approx(error(())) == error_without(model, [], batches, CPU)
    assert errors[1] == pytest.approx(sum(error((place,)) for place in places) / 3)
    pairs = [error(pair) for pair in combinations(places, 2)]
    assert min(pairs) - 1e-9 <= errors[2] <= max(pairs) + 1e-9
    assert lesions(model, batches, CPU, draws=8, seed=0) == (counts, errors)
