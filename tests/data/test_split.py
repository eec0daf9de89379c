"""Held-out images: seeded, of every class, and never of the test split."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.catalog import Catalog
from fathom.data.settings import DataSettings
from fathom.data.split import holding_out, split_catalog, stratified
from fathom.errors import UserError
from tests.images import array_catalog

PLENTY = {"a": 40, "b": 25, "c": 2}


def with_splits(*roles: str) -> Catalog:
    catalog = array_catalog(PLENTY)
    whole = catalog.splits["all"]
    splits = {
        role: replace(whole, keys=tuple(f"{role} {key}" for key in whole.keys)) for role in roles
    }
    return replace(catalog, splits=splits)


@settings(deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.integers(2, 60), min_size=1, max_size=5),
    st.floats(0.01, 0.99),
    st.integers(0, 2**31),
    st.randoms(use_true_random=False),
)
def test_stratified_is_disjoint_complete_and_fair(
    counts: list[int], fraction: float, seed: int, rng: object
) -> None:
    targets = [i for i, count in enumerate(counts) for _ in range(count)]
    rng.shuffle(targets)  # type: ignore[attr-defined]
    kept, held = stratified(targets, fraction, seed)
    assert sorted(kept + held) == list(range(len(targets)))
    assert kept == sorted(kept)
    assert held == sorted(held)
    found = Counter(targets[i] for i in held)
    for target, count in enumerate(counts):
        assert 0 < found[target] < count
        assert abs(found[target] - fraction * count) <= 1
    assert stratified(targets, fraction, seed) == (kept, held)


def test_another_seed_holds_out_other_images() -> None:
    targets = [0] * 50 + [1] * 50
    assert stratified(targets, 0.3, 1) != stratified(targets, 0.3, 2)


def test_classes_of_one_size_are_drawn_apart() -> None:
    held = stratified([0] * 50 + [1] * 50, 0.3, 1)[1]
    assert [i for i in held if i < 50] != [i - 50 for i in held if i >= 50]


def test_more_of_one_class_leaves_the_others_where_they_were() -> None:
    """A class is drawn by itself, so that it keeps its held-out images when another one grows."""
    before = stratified([0] * 30 + [1] * 10, 0.2, 7)[1]
    after = stratified([0] * 30 + [1] * 20, 0.2, 7)[1]
    assert [i for i in before if i < 30] == [i for i in after if i < 30]


@pytest.mark.parametrize("choosing", [True, False])
@pytest.mark.parametrize(("fraction", "held"), [(None, 8 + 5 + 1), (0.5, 20 + 12 + 1)])
def test_images_without_a_split_are_held_out(
    choosing: bool, fraction: float | None, held: int
) -> None:
    catalog = array_catalog(PLENTY)
    found = split_catalog(catalog, DataSettings(val_fraction=fraction, seed=5), choosing=choosing)
    splits = found.catalog.splits
    assert list(splits) == ["train", "val"]
    assert len(splits["val"]) == held
    keys = [*splits["train"].keys, *splits["val"].keys]
    assert sorted(keys) == sorted(catalog.splits["all"].keys)
    targets = dict(zip(catalog.splits["all"].keys, catalog.splits["all"].targets, strict=True))
    for images in splits.values():
        assert [targets[key] for key in images.keys] == list(images.targets)
        assert set(images.targets) == {0, 1, 2}
    assert found.judge == "val"
    assert f"{fraction or 0.2:.0%} of every class, held out with seed 5" in found.origins["val"]


@pytest.mark.parametrize(("fraction", "held"), [(None, 4 + 2 + 1), (0.5, 20 + 12 + 1)])
def test_choosing_without_val_takes_from_train_and_never_from_test(
    fraction: float | None, held: int
) -> None:
    catalog = with_splits("train", "test")
    found = split_catalog(catalog, DataSettings(val_fraction=fraction), choosing=True)
    splits = found.catalog.splits
    assert splits["test"] is catalog.splits["test"]
    assert len(splits["val"]) == held
    keys = [*splits["train"].keys, *splits["val"].keys]
    assert sorted(keys) == sorted(catalog.splits["train"].keys)
    assert all(key.startswith("train ") for key in keys)
    assert found.judge == "test"
    assert found.origins["test"] == "as the data give it"
    assert "training" in found.origins["train"]
    assert "training class" in found.origins["val"]


@pytest.mark.parametrize(
    ("roles", "choosing"),
    [
        (("train", "test"), False),
        (("train", "val"), True),
        (("train", "val"), False),
        (("train", "val", "test"), True),
    ],
)
def test_splits_that_suffice_are_left_alone(roles: tuple[str, ...], choosing: bool) -> None:
    catalog = with_splits(*roles)
    found = split_catalog(catalog, DataSettings(), choosing=choosing)
    assert found.catalog.splits == catalog.splits
    assert found.judge == ("test" if "test" in roles else "val")
    assert set(found.origins.values()) == {"as the data give it"}
    if "val" not in roles:
        return
    message = f"val_fraction=0.3 has no effect.*{', '.join(roles)}; leave it out"
    with pytest.raises(UserError, match=message):
        split_catalog(catalog, DataSettings(val_fraction=0.3), choosing=choosing)


@pytest.mark.parametrize("choosing", [True, False])
def test_what_is_to_be_held_out_is_held_out_whether_it_chooses_or_not(choosing: bool) -> None:
    catalog = with_splits("train", "test")
    outright = holding_out(DataSettings(), catalog)
    found = split_catalog(catalog, outright, choosing=choosing)
    assert found == split_catalog(catalog, DataSettings(), choosing=True)
    assert holding_out(DataSettings(val_fraction=0.3), catalog).val_fraction == 0.3
    for sufficient in (with_splits("train", "val"), array_catalog(PLENTY)):
        assert holding_out(DataSettings(), sufficient) == DataSettings()


def test_a_class_of_one_image_cannot_be_split() -> None:
    catalog = array_catalog({"a": 9, "b": 1})
    with pytest.raises(UserError, match=r"class 'b' has one image.*at least two"):
        split_catalog(catalog, DataSettings(), choosing=False)
