"""What a step sees depends on the seed and its number alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.augment import augment_batch
from fathom.data.batches import (
    Batch,
    Order,
    TrainingBatches,
    evaluation_batches,
    loader_workers,
)
from fathom.data.catalog import open_catalog
from fathom.data.load import Dataset
from fathom.data.settings import AugmentSettings, DataSettings, NoCrop, PadCrop, ResizedCrop
from fathom.errors import UserError
from fathom.runtime import Runtime, generator
from tests.images import CPU, PLAIN, loaded, write_tree

# Python 3.12 warns where a process with threads forks, as the loader's do.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

TREE = {"train/a": 8, "train/b": 6, "val/a": 3, "val/b": 4}
PAD = AugmentSettings(PadCrop(2, "mean"), flip=True)
RESIZED = AugmentSettings(ResizedCrop(0.2), flip=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree", TREE, size=10)


def dataset_of(tree: Path, augment: AugmentSettings, cache: Any = "auto") -> Dataset:
    chosen = DataSettings(source=str(tree), cache=cache, workers=0)
    return loaded(open_catalog(chosen), chosen, augment)


def training(
    dataset: Dataset, augment: AugmentSettings, *, workers: int = 0, seed: int = 1, size: int = 4
) -> TrainingBatches:
    return TrainingBatches(
        dataset, augment, batch_size=size, seed=seed, runtime=CPU, workers=workers
    )


def take(batches: Iterator[Batch], count: int) -> list[Batch]:
    return list(islice(batches, count))


def same(one: list[Batch], other: list[Batch]) -> None:
    for left, right in zip(one, other, strict=True):
        assert torch.equal(left.positions, right.positions)
        assert torch.equal(left.targets, right.targets)
        assert torch.equal(left.images, right.images)
        assert left.broken == right.broken


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 50), st.data(), st.integers(0, 1000))
def test_an_epoch_visits_every_image_at_most_once(
    count: int, data: st.DataObject, seed: int
) -> None:
    order = Order(count, data.draw(st.integers(1, count)), seed)
    start = data.draw(st.integers(0, 3 * order.steps_per_epoch))
    visited: dict[int, list[int]] = {}
    steps = list(islice(order.steps(start), 3 * order.steps_per_epoch))
    for place, (step, epoch, positions) in enumerate(steps):
        assert step == start + place
        assert epoch == step // order.steps_per_epoch
        assert len(positions) == order.batch_size
        visited.setdefault(epoch, []).extend(positions.tolist())
    for seen in visited.values():
        assert len(set(seen)) == len(seen)
        assert set(seen) <= set(range(count))
    whole = islice(order.steps(0), start + len(steps))
    tail = [positions.tolist() for _, _, positions in whole][start:]
    assert tail == [positions.tolist() for _, _, positions in steps]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    def epoch(seed: int, number: int) -> list[int]:
        return next(Order(40, 40, seed).steps(number))[2].tolist()

    assert len({tuple(epoch(seed, number)) for seed in (1, 2) for number in (0, 1, 2)}) == 6


KINDS = [("memory", PAD), ("off", PAD), ("off", RESIZED), ("auto", PLAIN)]


@pytest.mark.parametrize(("cache", "augment"), KINDS)
def test_a_run_goes_on_at_any_step(cache: str, augment: AugmentSettings, tree: Path) -> None:
    """14 images in steps of 4: three steps an epoch, and two images are left out of each."""
    dataset = dataset_of(tree, augment, cache)
    whole = take(training(dataset, augment).start(0), 11)
    for start in (1, 3, 5, 9):
        same(take(training(dataset, augment).start(start), 11 - start), whole[start:])


@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize("augment", [PAD, RESIZED])
def test_workers_change_nothing(augment: AugmentSettings, start: int, tree: Path) -> None:
    dataset = dataset_of(tree, augment, "off")
    alone = take(training(dataset, augment).start(start), 7)
    same(take(training(dataset, augment, workers=2).start(start), 7), alone)


def test_memory_and_disk_give_the_same_batches(tree: Path) -> None:
    kept, streamed = dataset_of(tree, PAD, "memory"), dataset_of(tree, PAD, "off")
    same(take(training(kept, PAD).start(2), 5), take(training(streamed, PAD).start(2), 5))


@pytest.mark.parametrize("cache", ["memory", "off"])
def test_batches_hold_the_images_of_their_positions(cache: str, tree: Path) -> None:
    dataset = dataset_of(tree, PAD, cache)
    views = dataset_of(tree, PAD, "memory").splits["train"].views
    assert views is not None
    targets = dataset.splits["train"].targets
    for step, batch in enumerate(take(training(dataset, PAD, seed=9).start(0), 5)):
        rng = generator(9, "augment", step)
        wanted = augment_batch(views[batch.positions], PAD, dataset.preprocess, rng)
        assert torch.equal(batch.images, wanted)
        assert torch.equal(batch.targets, targets[batch.positions])
        assert batch.broken == ()


@pytest.mark.parametrize(("cache", "augment"), KINDS[:3])
def test_the_same_image_looks_different_in_every_epoch_and_seed(
    cache: str, augment: AugmentSettings, tree: Path
) -> None:
    dataset = dataset_of(tree, augment, cache)
    looks = []
    for seed in (1, 2):
        batches = training(dataset, augment, seed=seed, size=14)
        looks += [
            batch.images[torch.argsort(batch.positions)].flatten(1)
            for batch in take(batches.start(0), 3)
        ]
    for place in range(14):
        assert len(torch.unique(torch.stack([look[place] for look in looks]), dim=0)) >= 4


def test_a_batch_larger_than_the_data_is_refused(tree: Path) -> None:
    dataset = dataset_of(tree, PLAIN)
    assert len(next(training(dataset, PLAIN, size=14).start(0)).targets) == 14
    with pytest.raises(UserError, match=r"15 is larger than the 14 .* --batch-size 14 or less"):
        training(dataset, PLAIN, size=15)


def test_an_endless_stream_may_be_left_and_begun_again(tree: Path) -> None:
    dataset = dataset_of(tree, PAD, "off")
    batches = training(dataset, PAD, workers=2)
    stream = batches.start(0)
    first = next(stream)
    stream.close()  # type: ignore[attr-defined]
    same([next(batches.start(0))], [first])


@pytest.mark.parametrize("workers", [0, 2])
def test_files_that_break_on_the_way_are_dropped_and_named(workers: int, tree: Path) -> None:
    dataset = dataset_of(tree, PAD, "off")
    whole = take(training(dataset, PAD).start(0), 3)
    key = dataset.splits["train"].images.keys[int(whole[1].positions[2])]
    (tree / key).write_bytes(b"")
    batches = take(training(dataset, PAD, workers=workers).start(0), 3)
    same([batches[0], batches[2]], [whole[0], whole[2]])
    assert batches[1].broken == ((key, "empty file, zero bytes"),)
    assert batches[1].positions.tolist() == whole[1].positions[[0, 1, 3]].tolist()
    assert torch.equal(batches[1].targets, whole[1].targets[[0, 1, 3]])
    assert len(batches[1].images) == 3


def test_a_step_without_any_image_is_an_error(tree: Path) -> None:
    dataset = dataset_of(tree, PAD, "off")
    for path in tree.rglob("*.png"):
        path.unlink()
    message = r"none of the 4 images of step 2 .*train/\w/\d.png: no such file.*where they were\?"
    with pytest.raises(UserError, match=message):
        next(training(dataset, PAD).start(2))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["memory", "off"])
@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_evaluation_covers_each_image_once_in_order(
    size: int, cache: str, workers: int, tree: Path
) -> None:
    dataset = dataset_of(tree, PLAIN, cache)
    views = dataset_of(tree, PLAIN, "memory").splits["val"].views
    assert views is not None
    split = dataset.splits["val"]
    batches = list(
        evaluation_batches(split, dataset.preprocess, batch_size=size, runtime=CPU, workers=workers)
    )
    assert [len(b.targets) for b in batches[:-1]] == [size] * (len(batches) - 1)
    assert torch.cat([b.positions for b in batches]).tolist() == list(range(7))
    assert torch.equal(torch.cat([b.targets for b in batches]), split.targets)
    images = torch.cat([b.images for b in batches])
    assert torch.equal(images, dataset.preprocess.normalise(views))
    assert all(b.broken == () for b in batches)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("gone", [[0], [6], [0, 1, 2], [5, 6], [2, 3], [0, 1, 2, 4, 5, 6]])
def test_evaluation_drops_and_names_what_breaks(size: int, gone: list[int], tree: Path) -> None:
    """Also where all images of a batch break, at the start, in the middle and at the end."""
    dataset = dataset_of(tree, PLAIN, "off")
    split = dataset.splits["val"]
    for position in gone:
        (tree / split.images.keys[position]).unlink()
    batches = list(
        evaluation_batches(split, dataset.preprocess, batch_size=size, runtime=CPU, workers=0)
    )
    assert all(len(batch.positions) for batch in batches)
    kept = [p for p in range(7) if p not in gone]
    assert torch.cat([b.positions for b in batches]).tolist() == kept
    named = [name for batch in batches for name, _ in batch.broken]
    assert named == [split.images.keys[position] for position in gone]


def test_evaluation_of_nothing_readable_is_an_error(tree: Path) -> None:
    dataset = dataset_of(tree, PLAIN, "off")
    for path in tree.rglob("*.png"):
        path.unlink()
    batches = evaluation_batches(
        dataset.splits["val"], dataset.preprocess, batch_size=3, runtime=CPU, workers=0
    )
    with pytest.raises(UserError, match=r"none of 7 images could be read.*val/a/0.png: no such"):
        list(batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_streaming_leaves_the_global_generator_alone(workers: int, tree: Path) -> None:
    dataset = dataset_of(tree, PAD, "off")
    state = torch.get_rng_state()
    next(training(dataset, PAD, workers=workers).start(0))
    assert torch.equal(torch.get_rng_state(), state)


def test_loader_processes_leave_cores_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Runtime(torch.device("cuda"), "bfloat16", 1)
    for cores, beside_cpu, beside_gpu in ((1, 0, 1), (4, 1, 4), (16, 4, 16), (64, 16, 16)):
        monkeypatch.setattr("fathom.data.batches.available_cores", lambda n=cores: n)
        assert loader_workers("auto", CPU) == beside_cpu
        assert loader_workers("auto", gpu) == beside_gpu
    assert loader_workers(3, CPU) == loader_workers(3, gpu) == 3


def test_without_augmentation_training_sees_the_evaluated_views(tree: Path) -> None:
    plain = AugmentSettings(NoCrop(), flip=False)
    dataset = dataset_of(tree, plain)
    views = dataset.splits["train"].views
    assert views is not None
    batch = next(training(dataset, plain).start(0))
    assert torch.equal(batch.images, dataset.preprocess.normalise(views[batch.positions]))
