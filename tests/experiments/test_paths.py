"""Blocks taken out of networks, and put back; paths through them, one by one."""

from itertools import combinations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fathom.data.batches import Batch
from fathom.experiments.paths import (
    deleted,
    error_without,
    gradients_by_length,
    lesions,
    removable,
    rows,
    shares,
)
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


def small(depths: list[int], norm: str) -> ImageClassifier:
    torch.manual_seed(1)
    spec = {"depths": depths, "widths": [4, 8][: len(depths)], "norm": norm}
    return build_model("cifar_resnet20", num_classes=3, in_channels=1, **spec).double()


def path_by_path(model: ImageClassifier, images: Tensor, targets: Tensor) -> list[Tensor]:
    """The gradient along each single path, added up by length: a path is followed by cutting all
    other ways off, with the maps of the whole network as they are."""
    blocks = [block for row in rows(model) for block in row]
    by_length = [torch.zeros(0)] * (len(blocks) + 1)
    for path in product((False, True), repeat=len(blocks)):
        start = x = model.stem(images).detach().requires_grad_()
        for block, through in zip(blocks, path, strict=True):
            assert isinstance(block, Block)
            assert block.shortcut is not None
            branch, passed = block.branch(x), block.shortcut(x)
            kept, cut = (branch, passed) if through else (passed, branch)
            x = block.act(kept + cut.detach())
        loss = torch.nn.functional.cross_entropy(model.head(x), targets)
        (gradient,) = torch.autograd.grad(loss, start)
        length = sum(path)
        known = by_length[length]
        by_length[length] = gradient if known.numel() == 0 else known + gradient
    return by_length


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
@pytest.mark.parametrize("depths", [[1], [2, 2], [3, 1]])
def test_gradients_by_length_are_those_of_all_paths(depths: list[int], norm: str) -> None:
    model = small(depths, norm).train()
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(2)).double()
    targets = torch.tensor([0, 1, 2, 0])
    wanted = torch.stack(path_by_path(model, images, targets))
    found = gradients_by_length(model, images, targets)
    torch.testing.assert_close(found, wanted)
    start = model.stem(images).detach().requires_grad_()
    x = start
    for stage in model.stages:
        x = stage(x)
    loss = torch.nn.functional.cross_entropy(model.head(x), targets)
    (whole,) = torch.autograd.grad(loss, start)
    torch.testing.assert_close(found.sum(0), whole)


@settings(deadline=None, derandomize=True, database=None)
@given(st.integers(1, 6), st.integers(0, 1000))
def test_shares_add_up_to_one_and_equal_parts_have_equal_ones(count: int, seed: int) -> None:
    parts = torch.randn(count, 2, 3, generator=torch.Generator().manual_seed(seed)).double()
    total = parts.sum(0).flatten()
    along = [float(part.flatten() @ total) / float(total @ total) for part in parts]
    assert shares(parts) == pytest.approx(along)
    assert sum(shares(parts)) == pytest.approx(1)
    assert shares(parts[:1].repeat(count, 1, 1)) == pytest.approx([1 / count] * count)
    assert shares(torch.stack([3 * parts[0], -parts[0]])) == pytest.approx([1.5, -0.5])
