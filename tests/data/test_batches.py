"""What a step sees depends on the seed and its number alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fathom.data.augment import augment_batch
from fathom.data.batches import Batch, TrainingBatches, evaluation_batches, loader_workers
from fathom.data.catalog import open_catalog
from fathom.data.decode import Pixels
from fathom.data.load import Dataset
from fathom.data.mixing import mix_batch
from fathom.data.policies import apply_change
from fathom.data.settings import (
    AugmentSettings,
    ColourJitter,
    DataSettings,
    MixupOrCutMix,
    NoCrop,
    PadCrop,
    RandAugment,
    RandomErasing,
    ResizedCrop,
    ScaleCrop,
    TrivialAugment,
)
from fathom.data.views import centre_view, to_tensor
from fathom.errors import UserError
from fathom.preprocess import Preprocess
from fathom.runtime import Runtime, generator
from fathom.training.choices import SGD
from fathom.training.recipe import ModelSettings, Recipe
from fathom.training.setup import Setup
from tests.images import CPU, PLAIN, loaded, write_tree

# Python 3.12 warns where a process with threads forks, as the loader's do.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

TREE = {"train/a": 8, "train/b": 6, "val/a": 3, "val/b": 4}
PAD = AugmentSettings(PadCrop(2, "mean"), flip=True)
RESIZED = AugmentSettings(ResizedCrop(0.2), flip=True)
ALTERNATING = AugmentSettings(NoCrop(), flip="alternating")
# Everything at once, on views in memory and from files.
ALL = AugmentSettings(
    PadCrop(2, "mean"),
    flip="alternating",
    vertical_flip=True,
    policy=RandAugment(std=0.5),
    jitter=ColourJitter(hue=0.1),
    lighting=0.1,
    cutout=3,
    erase=RandomErasing(0.5),
    mix=MixupOrCutMix(probability=0.8),
    repeats=2,
)
SCALED = replace(ALL, crop=ScaleCrop(1, 1.5), policy=TrivialAugment())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree", TREE, size=10)


def dataset_of(tree: Path, augment: AugmentSettings, cache: Any = "auto") -> Dataset:
    chosen = DataSettings(source=str(tree), cache=cache, workers=0)
    return loaded(open_catalog(chosen), chosen, augment)


def training(
    dataset: Dataset,
    augment: AugmentSettings,
    *,
    workers: int = 0,
    seed: int = 1,
    size: int = 4,
    **more: Any,
) -> TrainingBatches:
    return TrainingBatches(
        dataset, augment, batch_size=size, seed=seed, runtime=CPU, workers=workers, **more
    )


def take(batches: Iterator[Batch], count: int) -> list[Batch]:
    return list(islice(batches, count))


def same(one: list[Batch], other: list[Batch]) -> None:
    for left, right in zip(one, other, strict=True):
        assert torch.equal(left.positions, right.positions)
        assert torch.equal(left.targets, right.targets)
        assert torch.equal(left.images, right.images)
        assert left.broken == right.broken


KINDS = [
    ("memory", PAD),
    ("off", PAD),
    ("off", RESIZED),
    ("memory", ALL),
    ("off", ALL),
    ("off", SCALED),
    ("auto", ALTERNATING),
    ("auto", PLAIN),
]


@pytest.mark.parametrize(("cache", "augment"), KINDS)
def test_a_run_goes_on_at_any_step(cache: str, augment: AugmentSettings, tree: Path) -> None:
    """14 images in steps of 4: three steps an epoch, and two images are left out of each."""
    dataset = dataset_of(tree, augment, cache)
    whole = take(training(dataset, augment).start(0), 11)
    for start in (1, 3, 5, 9):
        same(take(training(dataset, augment).start(start), 11 - start), whole[start:])


@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize(
    ("augment", "sampling"),
    [(PAD, "shuffled"), (RESIZED, "balanced"), (ALL, "shuffled"), (SCALED, "shuffled")],
)
def test_workers_change_nothing(
    augment: AugmentSettings, sampling: str, start: int, tree: Path
) -> None:
    dataset = dataset_of(tree, augment, "off")
    alone = take(training(dataset, augment, sampling=sampling).start(start), 7)
    shared = training(dataset, augment, sampling=sampling, workers=2)
    same(take(shared.start(start), 7), alone)


@pytest.mark.parametrize("sampling", ["shuffled", "balanced"])
@pytest.mark.parametrize("augment", [PAD, ALTERNATING, replace(ALL, repeats=1)])
def test_memory_and_disk_give_the_same_batches(
    augment: AugmentSettings, sampling: str, tree: Path
) -> None:
    kept, streamed = dataset_of(tree, augment, "memory"), dataset_of(tree, augment, "off")
    one, other = (training(d, augment, sampling=sampling).start(2) for d in (kept, streamed))
    same(take(one, 5), take(other, 5))


def test_crops_are_cut_from_the_files_where_views_are_in_memory_too(tree: Path) -> None:
    """As where a probe's data are trained on: the crop of the recipe is never left out."""
    kept, streamed = dataset_of(tree, PLAIN, "memory"), dataset_of(tree, RESIZED, "off")
    streamed = replace(streamed, preprocess=kept.preprocess)
    one, other = (training(data, RESIZED).start(0) for data in (kept, streamed))
    same(take(one, 3), take(other, 3))


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


@pytest.mark.parametrize(("cache", "augment"), KINDS[:6])
def test_the_same_image_looks_different_in_every_epoch_and_seed(
    cache: str, augment: AugmentSettings, tree: Path
) -> None:
    dataset = dataset_of(tree, augment, cache)
    looks = []
    for seed in (1, 2):
        batches = training(dataset, replace(augment, repeats=1), seed=seed, size=14)
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


@pytest.mark.parametrize("cache", ["memory", "off"])
def test_a_batch_is_changed_mixed_and_labelled_as_its_parts_say(cache: str, tree: Path) -> None:
    augment = replace(ALL, policy=None, repeats=1)
    dataset = dataset_of(tree, augment, cache)
    views = dataset_of(tree, augment, "memory").splits["train"].views
    assert views is not None
    order = training(dataset, augment).order
    mirrored = torch.rand(14, generator=generator(1, "mirror")) < 0.5
    for batch, (step, visits, positions) in zip(
        take(training(dataset, augment).start(0), 7), order.steps(0), strict=False
    ):
        rng = generator(1, "augment", step)
        images = augment_batch(
            views[positions],
            augment,
            dataset.preprocess,
            rng,
            mirrored=mirrored[positions] ^ (visits % 2).bool(),
        )
        targets = dataset.splits["train"].targets[positions]
        assert augment.mix is not None
        images, rows = mix_batch(images, targets, augment.mix, num_classes=2, rng=rng)
        assert torch.equal(batch.images, images)
        assert torch.equal(batch.targets, rows)


@pytest.mark.parametrize("probability", [0.01, 1.0])
def test_with_mixing_targets_are_always_rows(probability: float, tree: Path) -> None:
    augment = replace(PAD, mix=MixupOrCutMix(probability=probability))
    dataset = dataset_of(tree, augment)
    for batch in take(training(dataset, augment, size=7).start(0), 4):
        assert batch.targets.shape == (7, 2)
        assert batch.targets.dtype == torch.float32
        torch.testing.assert_close(batch.targets.sum(1), torch.ones(7))


@pytest.mark.parametrize("cache", ["memory", "off"])
@pytest.mark.parametrize("policy", [RandAugment(), TrivialAugment()])
def test_each_visit_and_copy_has_a_policy_of_its_own(
    policy: RandAugment | TrivialAugment, cache: str, tree: Path
) -> None:
    """One image of 7 copies an epoch: few looks alike, though changes of the same name may be."""
    augment = AugmentSettings(NoCrop(), False, policy=policy, repeats=7)
    dataset = dataset_of(tree, augment, cache)
    looks = take(training(dataset, augment, size=14).start(0), 8)
    for batch in looks:
        assert batch.positions.tolist() == batch.positions[:2].tolist() * 7
    found = torch.cat([batch.images.flatten(1) for batch in looks])
    assert len(torch.unique(found, dim=0)) > 0.6 * len(found)


@pytest.mark.parametrize("policy", [None, RandAugment(), TrivialAugment()])
@pytest.mark.parametrize("crop", [ResizedCrop(0.2), ScaleCrop(1.2, 1.9), NoCrop()])
def test_what_is_drawn_for_an_image_is_what_its_batch_holds(
    crop: ResizedCrop | ScaleCrop | NoCrop, policy: RandAugment | TrivialAugment | None, tree: Path
) -> None:
    """The part cut out and the changes made as told, one after another, give the batch."""
    augment = AugmentSettings(crop, False, policy=policy)
    dataset = dataset_of(tree, augment)
    view, split = dataset.preprocess, dataset.splits["train"]
    batches = training(dataset, augment)
    changes = policy.num_ops if isinstance(policy, RandAugment) else int(policy is not None)
    for step in (0, 5):
        batch, drawn = next(batches.start(step)), batches.drawn(step)
        assert [found.position for found in drawn] == batch.positions.tolist()
        for image, found in zip(batch.images, drawn, strict=True):
            pixels = split.images.source.pixels(split.images.keys[found.position], 3)
            cut = _cut_by_hand(pixels, view, crop, found.part)
            assert len(found.changes) == changes
            for name, strength in found.changes:
                cut = apply_change(cut, name, strength)
            assert torch.equal(image, view.normalise(cut[None])[0])


def _cut_by_hand(
    pixels: Pixels, view: Preprocess, crop: Any, part: tuple[float, float, float, float] | None
) -> torch.Tensor:
    """The part that was told, as PIL cuts and resizes it."""
    size, kind = view.image_size, Image.Resampling.BILINEAR
    if part is None:
        return centre_view(pixels, size, view.resize, view.interpolation)
    if isinstance(crop, ResizedCrop):
        return to_tensor(np.asarray(Image.fromarray(pixels).resize((size, size), kind, box=part)))
    height, width, _ = pixels.shape
    scale = size / (part[2] - part[0])
    whole = Image.fromarray(pixels).resize((round(width * scale), round(height * scale)), kind)
    left, top = round(part[0] * scale), round(part[1] * scale)
    return to_tensor(np.asarray(whole)[top : top + size, left : left + size])


def test_alternating_flips_mirror_every_other_epoch(tree: Path) -> None:
    """Jordan 2024: about half of the images in the first epoch, the others in the next, and so on;
    two epochs always show both."""
    dataset = dataset_of(tree, ALTERNATING)
    views = dataset.splits["train"].views
    assert views is not None
    plain = dataset.preprocess.normalise(views)
    epochs = []
    for batch in take(training(dataset, ALTERNATING, size=14).start(0), 6):
        images = batch.images[batch.positions.argsort()]
        same_ = (images == plain).flatten(1).all(1)
        mirrored = (images == plain.flip(3)).flatten(1).all(1)
        assert bool((same_ ^ mirrored).all())
        epochs.append(mirrored)
    assert 0 < int(epochs[0].sum()) < 14
    for number, mirrored in enumerate(epochs):
        assert torch.equal(mirrored, epochs[0] ^ (number % 2 == 1))


def test_balanced_batches_hold_the_classes_equally_often(tmp_path: Path) -> None:
    """12 images of one class and 3 of the other; those of the small one come four times as often,
    each time with a crop of its own."""
    tree = write_tree(tmp_path, {"train/a": 12, "train/b": 3, "val/a": 2, "val/b": 2}, size=10)
    dataset = dataset_of(tree, PAD)
    batches = take(training(dataset, PAD, size=6, sampling="balanced").start(0), 8)
    for batch in batches:
        assert int(batch.targets.sum()) == 3
    positions = torch.cat([batch.positions for batch in batches])
    assert sorted(torch.bincount(positions, minlength=15).tolist()) == [2] * 12 + [8] * 3
    images = torch.cat([batch.images for batch in batches])
    for position in range(15):
        looks = images[positions == position].flatten(1)
        assert len(torch.unique(looks, dim=0)) > len(looks) / 2


@pytest.mark.parametrize("augment", [RESIZED, SCALED])
def test_crops_from_files_may_be_smaller_than_the_evaluated_view(
    augment: AugmentSettings, tree: Path
) -> None:
    """Training at 6 pixels, evaluation at 8."""
    dataset = dataset_of(tree, augment)
    batch = next(training(dataset, augment, image_size=6).start(0))
    assert batch.images.shape == (4, 3, 6, 6)
    evaluated = next(
        evaluation_batches(
            dataset.splits["val"], dataset.preprocess, batch_size=4, runtime=CPU, workers=0
        )
    )
    assert evaluated.images.shape == (4, 3, 8, 8)


@pytest.mark.parametrize(("resize", "wanted"), [(None, 27), (26, 26)])
def test_a_recipe_sets_both_sizes_and_the_sampling(
    resize: int | None, wanted: int, tree: Path
) -> None:
    recipe = Recipe(
        name="sizes",
        model=ModelSettings("cifar_resnet20"),
        data=DataSettings(source=str(tree), workers=0),
        image_size=16,
        augment=RESIZED,
        optimizer=SGD(),
        batch_size=4,
        epochs=1,
        eval_size=24,
        eval_resize=resize,
        sampling="balanced",
        device="cpu",
    )
    setup = Setup.of(recipe)
    view = setup.dataset.preprocess
    assert (view.image_size, view.resize) == (24, wanted)
    batch = next(setup.batches.start(0))
    assert batch.images.shape == (4, 3, 16, 16)
    assert batch.targets.sort().values.tolist() == [0, 0, 1, 1]


def test_gray_images_take_everything_but_changes_of_colour(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, TREE, size=10, channels=1)
    chosen = DataSettings(source=str(tree), workers=0)
    gray = replace(ALL, lighting=0.0)
    dataset = loaded(open_catalog(chosen), chosen, gray, channels=1)
    for batch in take(training(dataset, gray).start(0), 3):
        assert batch.images.shape == (4, 1, 8, 8)
    with pytest.raises(UserError, match=r"augment.lighting is 0.1 .* gray; .*lighting=0"):
        training(dataset, ALL)
    coloured = replace(gray, jitter=ColourJitter(0.0, 0.0, 0.4, 0.1))
    with pytest.raises(UserError, match=r"augment.jitter changes only .* augment.jitter=none"):
        training(dataset, coloured)
    training(dataset_of(write_tree(tmp_path / "colour", TREE, size=10), ALL), coloured)
