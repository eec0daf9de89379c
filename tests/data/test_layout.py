"""A tree of names becomes splits and classes by the rules that the module states."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.layout import arrange, role_of
from fathom.data.sources import Listing
from fathom.errors import UserError


def listing(files: str | Iterable[str], folders: Iterable[str] = ()) -> Listing:
    """A tree of these files with all the folders they imply, and these besides."""
    names = files.split() if isinstance(files, str) else list(files)
    found = set(folders)
    for path in [*names, *(f"{folder}/" for folder in folders)]:
        parts = path.split("/")[:-1]
        found.update("/".join(parts[: i + 1]) for i in range(len(parts)))
    return Listing(tuple(sorted(names)), tuple(sorted(found)))


def test_folders_are_classes_sorted_by_name() -> None:
    layout = arrange(listing("dogs/b.jpg dogs/a.jpg Ants/x.jpg cats/deep/er/c.jpg"), "photos")
    assert list(layout.splits) == ["all"]
    assert dict(layout.splits["all"]) == {
        "Ants": ("Ants/x.jpg",),
        "cats": ("cats/deep/er/c.jpg",),
        "dogs": ("dogs/a.jpg", "dogs/b.jpg"),
    }
    assert list(layout.splits["all"]) == ["Ants", "cats", "dogs"]
    assert layout.notes == ()


def test_an_empty_class_folder_is_a_class() -> None:
    layout = arrange(listing("cats/1.jpg", ["dogs"]), "photos")
    assert layout.splits["all"]["dogs"] == ()


ROLES = [("val", "val"), ("valid", "val"), ("Validation", "val"), ("TEST", "test")]


@pytest.mark.parametrize("train", ["train", "Train", "TRAINING"])
@pytest.mark.parametrize(("name", "role"), ROLES)
def test_split_folders_in_any_case(train: str, name: str, role: str) -> None:
    layout = arrange(listing(f"{train}/cats/1.jpg {name}/cats/2.jpg"), "photos")
    assert dict(layout.splits["train"]) == {"cats": (f"{train}/cats/1.jpg",)}
    assert dict(layout.splits[role]) == {"cats": (f"{name}/cats/2.jpg",)}
    assert len(layout.splits) == 2


def test_all_three_splits() -> None:
    layout = arrange(listing("train/a/1 val/a/2 test/a/3"), "photos")
    assert {r: c["a"] for r, c in layout.splits.items()} == {
        "train": ("train/a/1",),
        "val": ("val/a/2",),
        "test": ("test/a/3",),
    }


def test_roles_by_word() -> None:
    words = ["train", " Train ", "valid", "testing", "cats", ""]
    assert [role_of(w) for w in words] == ["train", "train", "val", "test", None, None]


@pytest.mark.parametrize(
    ("files", "classes"),
    [
        ("train/a/1 train/b/2", ["a", "b"]),  # a wrapper that happens to have a split's name
        ("train/1 cats/2", ["cats", "train"]),  # a train is also a thing to photograph
        ("test/1 cats/2", ["cats", "test"]),
    ],
)
def test_names_of_splits_may_be_plain_folders(files: str, classes: list[str]) -> None:
    assert list(arrange(listing(files), "photos").splits["all"]) == classes


@pytest.mark.parametrize("files", ["val/a/1 test/a/2", "val/a/1 valid/a/2"])
def test_splits_without_train_are_an_error(files: str) -> None:
    with pytest.raises(UserError, match="no folder named train; add one, or give") as error:
        arrange(listing(files), "photos")
    assert all(part.split("/")[0] in str(error.value) for part in files.split())


@pytest.mark.parametrize("files", ["train/a/1 val/a/2 valid/a/3", "train/a/1 training/a/2"])
def test_two_names_for_one_split_are_an_error(files: str) -> None:
    with pytest.raises(UserError, match=r"photos holds \w+ and \w+, which mean the same split"):
        arrange(listing(files), "photos")


@pytest.mark.parametrize("files", ["", "1.jpg 2.jpg", ".git/a/1.jpg", "train/a/1 val/2.jpg"])
def test_a_tree_without_images_in_classes_is_an_error(files: str) -> None:
    with pytest.raises(UserError, match=r"one folder of images for each class, as in cats/1.jpg"):
        arrange(listing(files), "photos")


def test_hidden_folders_are_left_out_and_said_once() -> None:
    files = """cats/1.jpg cats/.ipynb_checkpoints/1-checkpoint.jpg dogs/2.jpg
        dogs/.ipynb_checkpoints/2-checkpoint.jpg .git/objects/ab/cd __MACOSX/cats/._1.jpg
        cats/._1.jpg cats/.DS_Store dogs/Thumbs.db .ipynb_checkpoints/a.ipynb"""
    layout = arrange(listing(files), "photos")
    assert dict(layout.splits["all"]) == {"cats": ("cats/1.jpg",), "dogs": ("dogs/2.jpg",)}
    assert layout.notes == ("ignored hidden folders: .git, .ipynb_checkpoints (3 times), __MACOSX",)


def test_files_and_folders_in_no_class_are_said() -> None:
    layout = arrange(listing("cats/1 dogs/2 README.txt LICENSE"), "photos")
    assert layout.notes == ("ignored 2 files beside the class folders",)
    layout = arrange(listing("train/a/1 train/stray val/a/2 extra/b/3 more/4 odd"), "photos")
    assert layout.notes == (
        "ignored extra, more beside the split folders",
        "ignored 2 files beside the class folders",
    )
    layout = arrange(listing("photos/cats/1 photos/dogs/2 README.txt"), "photos")
    assert layout.notes == ("ignored 1 file beside the class folders",)


def test_notes_of_the_listing_are_passed_on() -> None:
    tree = Listing(("cats/1",), ("cats",), ("skipped something",))
    assert arrange(tree, "photos").notes == ("skipped something",)


def test_an_archive_made_of_a_dot_is_looked_through() -> None:
    layout = arrange(listing("./cats/1.jpg ./dogs/2.jpg ./.git/config", [".", "./.git"]), "photos")
    assert dict(layout.splits["all"]) == {"cats": ("./cats/1.jpg",), "dogs": ("./dogs/2.jpg",)}


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=5
).filter(lambda name: not name.startswith(".") and role_of(name) is None)
CLASSES = st.dictionaries(NAMES, st.lists(NAMES, min_size=1, unique=True), min_size=2, max_size=4)


@settings(deadline=None, derandomize=True, database=None)
@given(CLASSES, st.lists(NAMES, max_size=2), st.booleans())
def test_every_image_keeps_its_class_and_its_key_behind_any_wrapper(
    classes: dict[str, list[str]], wrappers: list[str], split: bool
) -> None:
    junk = {"__MACOSX", "__pycache__", "$RECYCLE.BIN", "thumbs.db", "desktop.ini"}
    words = {*classes, *wrappers, *(f for files in classes.values() for f in files)}
    if junk & {word if word in junk else word.lower() for word in words}:
        return
    around = "".join(f"{wrapper}/" for wrapper in wrappers)
    parts = ["train/", "val/"] if split else [""]
    files = [f"{around}{p}{c}/{f}" for p in parts for c, names in classes.items() for f in names]
    layout = arrange(listing(files), "photos")
    assert layout.notes == ()
    assert len(layout.splits) == len(parts)
    found: list[str] = []
    for (role, by_class), part in zip(layout.splits.items(), parts, strict=True):
        assert role == (part.strip("/") or "all")
        assert list(by_class) == sorted(classes)
        for name, keys in by_class.items():
            assert keys == tuple(sorted(f"{around}{part}{name}/{f}" for f in classes[name]))
            found.extend(keys)
    assert sorted(found) == sorted(files)
