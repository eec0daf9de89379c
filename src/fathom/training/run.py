"""The run folder: what lies where, and how it is written so that a crash leaves nothing half-done.

    recipe.json       the complete recipe, and the command that started the run
    environment.json  versions, machine, device
    data.json         classes, counts, preprocessing, files left out, fingerprint
    split.csv         path,label,split of every image used
    metrics.jsonl     one JSON object a line: steps, epochs, warnings
    events.out.*      the same scalars for TensorBoard
    checkpoints/      last, previous and best: a JSON file each, and the safetensors it names
    result.json       how the run ended
    evaluation.json   everything measured on the judging images
    examples/         the images of the most confused pairs
    report.html       all of it, to look at
    transfer/         what was measured before, where `fathom transfer` made the run

Free of PyTorch, so that reading a run is quick.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fathom.errors import UserError
from fathom.training.recipe import Recipe
from fathom.training.settings import from_dict, to_dict

FORMAT = 1
TRANSFER = "transfer"


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside the old file, flush to the disk, then rename over it.

    Raises OSError, and leaves the old file whole, when the disk is full.
    """
    beside = path.with_name(f".{path.name}.partial")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write one JSON file as `write_bytes` does.

    A file name that is not UTF-8 holds lone surrogates; their backslash form is their JSON escape.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


class Run:
    """One run folder. `Run.create` makes a new one, `Run.open` finds one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints = folder / "checkpoints"
        self.examples = folder / "examples"
        self.metrics = folder / "metrics.jsonl"
        self.report = folder / "report.html"

    @classmethod
    def create(cls, folder: Path, recipe: Recipe, command: str | None) -> Run:
        """Make the folder and store the recipe. Raises UserError when it is there and not empty."""
        refuse_used(folder)
        run = cls(folder)
        try:
            run.checkpoints.mkdir(parents=True, exist_ok=True)
            run.write("recipe", {"command": command, "recipe": to_dict(recipe)})
        except OSError as error:
            raise UserError(f"cannot write to {folder}: {error.strerror}; choose --out") from error
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """An existing run. Raises UserError when the folder is missing or not a run."""
        if not folder.exists():
            raise UserError(f"no such run: {folder}; `fathom train` prints the folder it writes")
        run = cls(folder)
        if not (folder / "recipe.json").is_file():
            raise UserError(
                f"{folder} is not a run folder: it has no recipe.json. Name the folder that "
                "`fathom train` printed"
            )
        run.recipe()
        return run

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Store one of the folder's JSON files."""
        write_json(self.folder / f"{name}.json", {"format": FORMAT, **value})

    def read(self, name: str) -> dict[str, Any]:
        """One of the folder's JSON files. Raises UserError when it is missing or damaged."""
        path = self.folder / f"{name}.json"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(f"{path} is missing: the run did not get that far") from error
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is damaged ({error}); the run cannot be read") from error
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise UserError(
                f"{path} is of another format than this Fathom's ({FORMAT}); use the version that "
                "wrote the run"
            )
        return value

    def has(self, name: str) -> bool:
        """Whether one of the folder's JSON files is there."""
        return (self.folder / f"{name}.json").is_file()

    def recipe(self) -> Recipe:
        """The recipe of the run."""
        return from_dict(Recipe, self.read("recipe").get("recipe", {}))

    def write_split(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Store (path, label, split) of every image used, as a CSV manifest."""
        path = self.folder / "split.csv"
        with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(("path", "label", "split"))
            writer.writerows(rows)

    def read_metrics(self) -> Iterator[dict[str, Any]]:
        """The records of metrics.jsonl; a last line cut off by a crash is left out."""
        if not self.metrics.exists():
            return
        with self.metrics.open(encoding="utf-8") as file:
            for line in file:
                try:
                    yield json.loads(line)
                except ValueError:
                    return


def refuse_used(folder: Path) -> None:
    """Raise UserError when an output folder exists and holds anything but what a transfer measured
    for the run."""
    if folder.is_dir() and any(path.name != TRANSFER for path in folder.iterdir()):
        raise UserError(
            f"the output folder {folder} exists and is not empty; choose another with --out, or "
            f"go on with it by --resume {folder}"
        )
    if folder.exists() and not folder.is_dir():
        raise UserError(f"the output {folder} is a file; choose a folder with --out")


def next_folder(name: str, root: Path = Path("runs")) -> Path:
    """The first of runs/name, runs/name-2, runs/name-3, ... that does not exist."""
    folder, number = root / name, 2
    while folder.exists():
        folder, number = root / f"{name}-{number}", number + 1
    return folder
