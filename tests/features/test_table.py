"""Embeddings as files, read back by others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fathom.data.sources import Folder
from fathom.errors import UserError
from fathom.features.backbone import Backbone
from fathom.features.embedding import Embedding
from fathom.features.table import check_table, write_table
from fathom.preprocess import Preprocess

VIEW = Preprocess(32, 36, 3, (0.5,) * 3, (0.25,) * 3)


def embedding(*class_names: str) -> Embedding:
    return Embedding(
        data="pets",
        backbone=Backbone("efficientnet_lite0", "lite"),
        preprocess=VIEW,
        views=2,
        paths=("cats/1.png", "dogs/\udcff.png", "dogs/ü.png"),
        splits=("train", "train", "test"),
        targets=torch.tensor([0, 1, 1] if class_names else [0, 0, 0]),
        values=torch.arange(12, dtype=torch.float32).view(3, 4) / 7,
        class_names=class_names,
        sources={"train": Folder(Path()), "test": Folder(Path())},
        bad=(),
    )


@pytest.mark.parametrize("class_names", [("cats", "dogs"), ()])
def test_numpy(class_names: tuple[str, ...], tmp_path: Path) -> None:
    made = embedding(*class_names)
    write_table(tmp_path / "f.npz", made)
    with np.load(tmp_path / "f.npz") as found:
        assert found["paths"].tolist() == ["cats/1.png", "dogs/\\udcff.png", "dogs/ü.png"]
        assert found["splits"].tolist() == ["train", "train", "test"]
        assert found["labels"].tolist() == made.targets.tolist()
        assert found["class_names"].tolist() == list(class_names)
        assert found["features"].dtype == np.float32
        assert np.array_equal(found["features"], made.values.numpy())
        assert found["weights"] == "efficientnet_lite0@lite"
        assert (found["image_size"], found["views"]) == (32, 2)
        assert Preprocess.from_dict(json.loads(str(found["preprocess"]))) == VIEW
    assert [file.name for file in tmp_path.iterdir()] == ["f.npz"]


@pytest.mark.parametrize("class_names", [("cats", "dogs"), ()])
def test_parquet(class_names: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    made = embedding(*class_names)
    write_table(tmp_path / "f.parquet", made)
    table = parquet.read_table(tmp_path / "f.parquet")
    columns = table.to_pydict()
    assert columns["path"] == ["cats/1.png", "dogs/\\udcff.png", "dogs/ü.png"]
    assert columns["label"] == [made.label(row) for row in range(3)]
    assert columns["split"] == ["train", "train", "test"]
    assert torch.equal(torch.tensor(columns["features"]), made.values)
    assert str(table.schema.field("features").type.value_type) == "float"
    about = table.schema.metadata
    assert (about[b"weights"], about[b"image_size"]) == (b"efficientnet_lite0@lite", b"32")
    assert Preprocess.from_dict(json.loads(about[b"preprocess"])) == VIEW


def test_what_cannot_be_written_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there.npz").write_bytes(b"")
    check_table(tmp_path / "new.npz")
    for name, message in (
        ("f.csv", "features are written as .parquet or .npz"),
        ("there.npz", "exists; remove it, or name another file"),
        ("gone/f.npz", "there is no folder"),
    ):
        with pytest.raises(UserError, match=message):
            check_table(tmp_path / name)
    monkeypatch.setattr("fathom.features.table.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'fathom\[parquet\]', or name an .npz file"):
        check_table(tmp_path / "f.parquet")


def test_a_folder_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "f.npz" / "inside").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot write .*f.npz"):
        write_table(tmp_path / "f.npz", embedding())
    assert [file.name for file in tmp_path.iterdir()] == ["f.npz"]
