"""An embedding as a file: .npz for NumPy, .parquet for everything that reads tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fathom.errors import UserError, require
from fathom.features.embedding import Embedding


def check_table(path: Path) -> None:
    """Raise UserError for a file that no embedding can be written to, before one is computed."""
    require(
        path.suffix in _WRITERS,
        f"--out is {path}; features are written as {' or '.join(_WRITERS)}",
    )
    require(
        path.suffix != ".parquet" or find_spec("pyarrow") is not None,
        "writing .parquet needs pyarrow: pip install 'fathom[parquet]', or name an .npz file",
    )
    require(path.parent.is_dir(), f"there is no folder {path.parent} to write {path.name} into")
    require(not path.exists(), f"{path} exists; remove it, or name another file")


def write_table(path: Path, embedding: Embedding) -> None:
    """Write a file, beside its place first, so that it is whole or not there.

    Parquet: the columns path, label (null where there are no classes), split, and features, a list
    of float32; weights, image_size, views and preprocess as metadata. NumPy: arrays paths, splits,
    features (N, D), labels (N,) that count into class_names, weights, image_size, views, preprocess
    (JSON). Bytes of file names that are no UTF-8 appear as backslash escapes.

    Raises UserError for a file that cannot be written.
    """
    beside = path.with_name(f".{path.name}.partial")
    about = {
        "weights": f"{embedding.backbone.name}@{embedding.backbone.weights}",
        "image_size": str(embedding.preprocess.image_size),
        "views": str(embedding.views),
        "preprocess": json.dumps(embedding.preprocess.to_dict()),
    }
    named = replace(
        embedding,
        paths=tuple(map(_plain, embedding.paths)),
        class_names=tuple(map(_plain, embedding.class_names)),
    )
    try:
        _WRITERS[path.suffix](beside, named, about)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose --out") from error


def _plain(text: str) -> str:
    """Text that can be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _write_npz(file: Path, embedding: Embedding, about: Mapping[str, str]) -> None:
    with file.open("wb") as opened:  # by name, NumPy would add a suffix of its own
        np.savez(
            opened,
            paths=np.array(embedding.paths),
            labels=embedding.targets.numpy(),
            splits=np.array(embedding.splits),
            features=embedding.values.numpy(),
            class_names=np.array(embedding.class_names, dtype=str),
            weights=np.array(about["weights"]),
            image_size=np.array(int(about["image_size"])),
            views=np.array(int(about["views"])),
            preprocess=np.array(about["preprocess"]),
        )


def _write_parquet(file: Path, embedding: Embedding, about: Mapping[str, str]) -> None:
    import pyarrow
    from pyarrow import parquet

    rows, width = embedding.values.shape
    flat = pyarrow.array(embedding.values.numpy().reshape(-1))
    columns = {
        "path": pyarrow.array(embedding.paths),
        "label": pyarrow.array([embedding.label(row) for row in range(rows)], pyarrow.string()),
        "split": pyarrow.array(embedding.splits),
        "features": pyarrow.FixedSizeListArray.from_arrays(flat, width),
    }
    table = pyarrow.table(columns).replace_schema_metadata(dict(about))
    parquet.write_table(table, file)


_WRITERS: Mapping[str, Callable[[Path, Embedding, Mapping[str, str]], None]] = {
    ".parquet": _write_parquet,
    ".npz": _write_npz,
}
