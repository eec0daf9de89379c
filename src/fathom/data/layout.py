"""The rules by which a tree of files becomes splits and classes. Pure functions on path names.

    root/CLASS/.../image            images without a split
    root/train/CLASS/.../image      with one of val, valid, validation, or test, or both, beside it

Folders around everything are looked through. Hidden files are left out, hidden folders too and said
once, and so are files that lie in no class.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from fathom.data.sources import Listing
from fathom.errors import UserError

_ROLES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_JUNK_FOLDERS = {"__MACOSX", "__pycache__", "$RECYCLE.BIN"}
_JUNK_FILES = {"thumbs.db", "desktop.ini"}

Classes = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Layout:
    """Paths by split ("all" where there is none) and class, classes sorted by name."""

    splits: Mapping[str, Classes]
    notes: tuple[str, ...]


def role_of(word: str) -> str | None:
    """The split a folder or manifest word means: train, val, test, or None for none of them."""
    return _ROLES.get(word.strip().lower())


def arrange(listing: Listing, where: str) -> Layout:
    """Sort a listing into splits and classes; `where` names the data in errors.

    Raises UserError for no images, split folders without train, or two names for one split.
    """
    visible, folders, notes = _without_hidden(listing)
    wrapper, files, folders = _without_wrapper(visible, folders)
    tops = {path.split("/")[0] for path in folders}
    roles = _split_folders(tops, where)
    others = sorted(tops - set(roles)) if roles else []
    if others:
        notes.append(f"ignored {', '.join(others)} beside the split folders")
    splits = {} if roles else {"all": _by_class(files, folders, where, wrapper)}
    for top, role in roles.items():
        prefix = top + "/"
        splits[role] = _by_class(
            [f.removeprefix(prefix) for f in files if f.startswith(prefix)],
            [f.removeprefix(prefix) for f in folders if f.startswith(prefix)],
            f"{where} ({top})",
            wrapper + prefix,
        )
    used = {file for classes in splits.values() for paths in classes.values() for file in paths}
    said = tuple(f"{wrapper}{other}/" for other in others)
    loose = [file for file in visible if file not in used and not file.startswith(said)]
    if loose:
        plural = "" if len(loose) == 1 else "s"
        notes.append(f"ignored {len(loose)} file{plural} beside the class folders")
    return Layout(splits, tuple(notes))


def _without_hidden(listing: Listing) -> tuple[list[str], list[str], list[str]]:
    found: Counter[str] = Counter()

    def visible(path: str, *, is_folder: bool) -> bool:
        parts = path.split("/")
        for part in parts if is_folder else parts[:-1]:
            if part in _JUNK_FOLDERS or (part.startswith(".") and part not in (".", "..")):
                found[part] += is_folder and part == parts[-1]
                return False
        return is_folder or not (parts[-1].startswith(".") or parts[-1].lower() in _JUNK_FILES)

    folders = [f for f in listing.folders if visible(f, is_folder=True)]
    files = [f for f in listing.files if visible(f, is_folder=False)]
    notes = list(listing.notes)
    if found:
        names = ", ".join(f"{k} ({v} times)" if v > 1 else k for k, v in sorted(found.items()))
        notes.append(f"ignored hidden folders: {names}")
    return files, folders, notes


def _without_wrapper(files: list[str], folders: list[str]) -> tuple[str, list[str], list[str]]:
    """Look through folders that hold all the others: root/dataset/CLASS -> "dataset/", and what
    lies below it."""
    wrapper = ""
    while True:
        tops = {path.split("/")[0] for path in folders}
        if len(tops) != 1:
            return wrapper, files, folders
        prefix = f"{next(iter(tops))}/"
        inner = [f.removeprefix(prefix) for f in folders if f.startswith(prefix)]
        if not inner:
            return wrapper, files, folders
        wrapper += prefix
        files, folders = [f.removeprefix(prefix) for f in files if f.startswith(prefix)], inner


def _split_folders(tops: set[str], where: str) -> dict[str, str]:
    """Folder -> role, where the top folders are splits; empty where they are classes."""
    roles = {top: role for top in sorted(tops) if (role := role_of(top))}
    present = set(roles.values())
    if "train" not in present:
        if roles and len(roles) == len(tops):
            raise UserError(
                f"{where} holds {', '.join(roles)} but no folder named train; add one, or give "
                "the folders apart with --train-data and --val-data"
            )
        return {}
    if len(roles) == 1:
        return {}
    for role in sorted(present):
        same = [top for top, r in roles.items() if r == role]
        if len(same) > 1:
            raise UserError(
                f"{where} holds {' and '.join(same)}, which mean the same split; keep one of them"
            )
    return roles


def _by_class(files: list[str], folders: list[str], where: str, prefix: str) -> Classes:
    classes: dict[str, list[str]] = defaultdict(list)
    for folder in folders:
        if "/" not in folder:
            classes[folder] = []
    for file in files:
        if "/" in file:
            classes[file.split("/")[0]].append(prefix + file)
    if not any(classes.values()):
        raise UserError(
            f"no images in class folders in {where}; it should hold one folder of images for each "
            "class, as in cats/1.jpg and dogs/1.jpg"
        )
    return {name: tuple(sorted(classes[name])) for name in sorted(classes)}
