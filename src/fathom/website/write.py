"""Write a site into a folder: whole or not at all, and over nothing but an earlier one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fathom.errors import UserError, require
from fathom.report.page import Sheet
from fathom.website.frame import framed, shared_files

_MANIFEST = "site.json"
_WRITER = "fathom explore --export"


@dataclass(frozen=True)
class Site:
    """What was written: the folder, its files by their paths inside, and their bytes together."""

    folder: Path
    files: tuple[str, ...]
    bytes: int

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return sum(file.endswith(".html") for file in self.files)


def write_site(folder: str | Path, pages: Iterable[tuple[str, Sheet]]) -> Site:
    """Write the pages, each at its path in the site, and all that they load.

    Everything is written beside the folder and then put in its place, so an earlier site there
    stays whole until the new one is.

    Raises:
        UserError: the folder holds what no export has written, or cannot be written.
    """
    target = Path(folder).resolve()
    try:
        _check(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as beside:
            new = Path(beside) / "new"  # the folder of such a name is for its owner alone
            site = _write(new, pages)
            _check(target)
            _swap(new, target, Path(beside) / "old")
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}; export elsewhere") from error
    return Site(target, *site)


def _check(folder: Path) -> None:
    """Raise UserError unless a site may be written here: there is nothing, or an earlier one."""
    if not folder.exists():
        return
    require(folder.is_dir(), f"{folder} is a file; name a folder for the site")
    known = _written(folder)
    found = (path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir())
    for path in found:
        name = path.relative_to(folder).as_posix()
        require(
            name in known,
            f"{folder} holds {name}, which no export has written; name another folder, or move it "
            "away",
        )


def _written(folder: Path) -> set[str]:
    """The files that an earlier export says it has written here."""
    try:
        found = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return set(found["files"]) if found["written_by"] == _WRITER else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _write(folder: Path, pages: Iterable[tuple[str, Sheet]]) -> tuple[tuple[str, ...], int]:
    """All files and the list of them -> their names, and their bytes."""
    sizes: dict[str, int] = {}
    for path, sheet in pages:
        assert path not in sizes, f"two pages are called {path}"
        sizes[path] = _put(folder / path, framed(path, sheet))
    for path, text in shared_files().items():
        sizes[path] = _put(folder / path, text)
    files = sorted([*sizes, _MANIFEST])
    manifest: Mapping[str, Any] = {"written_by": _WRITER, "files": files}
    sizes[_MANIFEST] = _put(folder / _MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return tuple(files), sum(sizes.values())


def _put(path: Path, text: str) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.write_bytes(text.encode("utf-8", "replace"))


def _swap(new: Path, target: Path, old: Path) -> None:
    """Put the new folder where the target is; the target comes back where that fails."""
    if not target.exists():
        new.rename(target)
        return
    try:
        target.rename(old)
        new.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
