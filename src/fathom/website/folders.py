"""What others have made: the folders of runs, and names of files for whatever they are called."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_LONGEST = 80


def folders_with(file: str, folder: Path) -> list[Path]:
    """The folders right inside the folder that hold such a file, by name; none where it is
    missing."""
    try:
        return sorted(path for path in folder.iterdir() if (path / file).is_file())
    except OSError:
        return []


def file_names(names: Iterable[str], *, taken: Iterable[str] = ()) -> dict[str, str]:
    """For every name a file name without its ending: the name itself wherever that is harmless.

    Letters, digits, dots, hyphens and underscores, the first a letter or digit; no two alike on
    disks that tell no capitals, none of those taken, and none called index, which is the folder's.
    """
    found: dict[str, str] = {}
    used = {"index", *(name.lower() for name in taken)}
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_LONGEST].strip("._-") or "unnamed"
        file, number = plain, 1
        while file.lower() in used:
            number += 1
            file = f"{plain}-{number}"
        used.add(file.lower())
        found[name] = file
    return found
