"""`fathom embed` as a user calls it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import fathom
from tests.cli.test_commands import Call, call
from tests.images import encode, noise, write, write_tree

__all__ = ["call"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(fathom.create_model("cifar_resnet20", num_classes=7).state_dict(), file)
    return f"cifar_resnet20@{file}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: pets/ with two splits, one image of which is in both; one is broken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    write_tree(tmp_path / "pets" / "train", {"cats": 2, "dogs": 1})
    write_tree(tmp_path / "pets" / "test", {"cats": 1, "dogs": 1}, first=9)
    copied = (tmp_path / "pets" / "train" / "cats" / "0.png").read_bytes()
    write(tmp_path / "pets" / "test" / "dogs" / "0.png", copied)
    write(tmp_path / "pets" / "train" / "dogs" / "1.png", b"nothing")
    return tmp_path


def test_a_table_is_written(call: Call, folder: Path, weights: str) -> None:
    code, out, err = call("embed", "pets", "--weights", weights, "--out", "pets.npz")
    assert code == 0
    assert err.splitlines()[1:] == ["  train/dogs/1.png: not an image"]
    lines = out.splitlines()
    assert lines[0].startswith("cifar_resnet20 (small.safetensors) at 32 pixels: 64 features of 5 ")
    assert lines[1].startswith(f"cache: {folder / 'home' / 'fathom' / 'features'} (0.0 of at most ")
    assert lines[2:] == ["features: pets.npz"]
    with np.load("pets.npz") as found:
        assert found["features"].shape == (5, 64)
        assert found["paths"][0] == "train/cats/0.png"
    code, out, err = call("embed", "pets", "--weights", weights, "--out", "pets.npz")
    assert (code, out) == (2, "")
    assert err == "fathom: pets.npz exists; remove it, or name another file\n"


def test_leakage_is_said_first(call: Call, folder: Path, weights: str) -> None:
    code, out, _ = call("embed", "pets", "--weights", weights, "--duplicates", "--no-cache")
    assert code == 0
    lines = out.splitlines()
    assert lines[1].startswith("leakage: ")
    first = lines[4].split()
    assert first == ["exact", "train:", "train/cats/0.png", "test:", "test/dogs/0.png"]
    assert "cache:" not in out
    assert not (folder / "home").exists()


def test_json_is_one_object(call: Call, folder: Path, weights: str) -> None:
    options = ("--weights", weights, "--duplicates", "--outliers", "--top", 1, "--json")
    code, out, err = call("embed", "pets", *options, "--views", 2, "--image-size", 16)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["num_images"], found["num_features"], found["views"]) == (5, 64, 2)
    assert (found["image_size"], found["model"], found["out"]) == (16, "cifar_resnet20", None)
    assert found["bad_images"] == [{"name": "train/dogs/1.png", "reason": "not an image"}]
    copies = found["duplicates"]
    assert copies["exact"] == 1
    assert copies["across_splits"] <= copies["count"]
    (pair,) = copies["pairs"]
    assert pair["exact"]
    assert [image["label"] for image in pair["images"]] == ["cats", "dogs"]
    assert [image["split"] for image in pair["images"]] == ["train", "test"]
    assert found["outliers"] == found["strangers"] == {"count": 0, "images": []}


def test_leakage_is_not_hidden_by_thousands_of_copies_in_one_split(
    call: Call, folder: Path, weights: str
) -> None:
    for number in range(145):
        write(Path("copies") / "train" / "a" / f"{number}.png", encode(noise(0)))
    write(Path("copies") / "train" / "b" / "0.png", encode(noise(1)))
    write(Path("copies") / "test" / "a" / "0.png", encode(noise(2)))
    write(Path("copies") / "test" / "b" / "0.png", encode(noise(1) // 4 * 4))
    options = ("--weights", weights, "--duplicates", "--top", 1)
    code, out, _ = call("embed", "copies", *options, "--json")
    assert code == 0
    copies = json.loads(out)["duplicates"]
    assert copies["exact"] == 145 * 144 // 2 > 10_000
    assert copies["across_splits"] >= 1
    (pair,) = copies["pairs"]
    assert {image["split"] for image in pair["images"]} == {"train", "test"}
    lines = call("embed", "copies", *options)[1].splitlines()
    assert lines[1].startswith(f"leakage: {copies['across_splits']:,} pair")
    assert lines[2].endswith(" 10,440 exact")


def test_odd_images_are_listed(call: Call, folder: Path, weights: str) -> None:
    for number in range(26):
        dark = number % 2
        name = "b" if dark != (number == 25) else "a"
        write(Path("two") / name / f"{number}.png", encode(noise(number) // 8 + 200 * (1 - dark)))
    options = ("--weights", weights, "--image-size", 16, "--outliers")
    code, out, _ = call("embed", "two", *options)
    assert code == 0
    lines = out.splitlines()
    assert "1 image like another class: is the label right?" in lines
    assert ["a/25.png", "all", "a", "b", "(100%)"] in [line.split() for line in lines]
    assert any(line.split()[:3] == ["a/25.png", "all", "a"] for line in lines)


def test_pictures_without_classes(call: Call, folder: Path, weights: str) -> None:
    for number in range(3):
        write(Path("loose") / f"{number}.png", encode(noise(number)))
    code, out, _ = call("embed", "loose", "--weights", weights, "--duplicates", "--json")
    assert code == 0
    pairs = json.loads(out)["duplicates"]["pairs"]
    assert all(image["label"] is None for pair in pairs for image in pair["images"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "nothing to do: name a table with --out"),
        (("--out", "a.npz", "--top", 3), "--top has no effect without a list"),
        (("--duplicates", "--top", 0), "--top is 0; use 1 or more"),
        (("--duplicates", "--val-fraction", 0.5), "--val-fraction has no effect"),
        (("--out", "a.csv"), "--out is a.csv; features are written as .parquet or .npz"),
        (("--out", "gone/a.npz"), "there is no folder gone"),
        (("--duplicates", "--weights", "lite0,lite1"), "--weights names 2 networks"),
        (("--duplicates", "--weights", "light"), "no weights called 'light'"),
        (("--duplicates", "--views", 0), "views is 0"),
        (("--duplicates", "--image-size", 2), "image_size is 2; use at least 4"),
        (("--duplicates", "--on-bad-image", "fail"), "train/dogs/1.png cannot be used: not an im"),
    ],
)
def test_what_is_refused(
    call: Call, folder: Path, weights: str, options: tuple[object, ...], message: str
) -> None:
    given = options if "--weights" in options else (*options, "--weights", weights)
    code, out, err = call("embed", "pets", *given)
    assert (code, out) == (2, "")
    assert err.startswith(f"fathom: {message}")
    assert err.count("\n") == 1
