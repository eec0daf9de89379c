"""Every mistake: one clear message, exit code 2, no traceback, nothing half-written."""

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import Call, call, run
from tests.images import encode, noise, write_tree

__all__ = ["call", "run"]


def folder(root: Path, **counts: int) -> Path:
    return write_tree(root, counts, size=16)


CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "missing path": (("nowhere/",), "no such file or folder: nowhere/"),
    "unknown data": (("digitz",), "did you mean 'digits'"),
    "unknown model": (("--model", "resnet5O"), "did you mean 'resnet50'"),
    "unknown recipe": (("--recipe", "defualt"), "did you mean 'default'"),
    "unknown option": (("--epocs", "3"), "Did you mean --epochs?"),
    "unknown setting": (("--set", "optimizer.learning_rate=1"), "unknown setting 'optimizer.learn"),
    "no value in --set": (("--set", "optimizer.lr"), "--set takes path=value"),
    "wrong type": (("--epochs", "many"), 'unable to convert "many" into int'),
    "wrong type in --set": (("--set", "ema=often"), "ema takes a number or none"),
    "two lengths": (("--epochs", "3", "--minutes", "1"), "exclude each other"),
    "zero epochs": (("--epochs", "0"), "at least 1"),
    "no effect: momentum": (("--optimizer", "adamw", "--set", "optimizer.momentum=0.9"), "unknown"),
    "no effect: data dir": (("--data-dir", "somewhere"), "has no effect"),
    "missing run": (("--resume", "nowhere"), "no such run"),
    "no such device": (("--device", "cuda:77"), "not on this machine"),
    "unknown device": (("--device", "gpu"), "none of auto, cpu"),
    "only train data": (("--train-data", "x"), "--val-data"),
    "resume with others": (("--resume", "x", "--epochs", "3"), "cannot be given with it"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_message(
    name: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, message = CASES[name]
    code, out, err = call("train", *arguments)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.startswith("fathom: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [], "nothing may be written"


def test_data_that_cannot_be_used(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    folder(tmp_path / "one", cats=3)
    (folder(tmp_path / "hollow", cats=3, dogs=3) / "birds").mkdir()
    folder(tmp_path / "differ" / "train", cats=3, dogs=3)
    folder(tmp_path / "differ" / "val", cats=3, cows=3)
    (tmp_path / "a.csv").write_text("file,class\nx,y\n")
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 no")
    broken = folder(tmp_path / "broken", cats=3, dogs=3)
    for file in (broken / "dogs").iterdir():
        file.write_bytes(b"x")
    for data, message in {
        "empty": "no images in class folders",
        "one": "holds one class, 'cats'",
        "hollow": "no images of 'birds'",
        "differ": "val has 'cows', which training lacks; val lacks 'dogs'",
        "a.csv": "lacks the column path and label",
        "a.zip": "neither a folder, a zip or tar archive",
        "broken": "no usable image of class 'dogs'",
    }.items():
        code, out, err = call("train", tmp_path / data, "--quick", "--out", tmp_path / "run")
        assert (code, out) == (2, ""), err
        assert message in err
        assert err.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_an_output_folder_that_exists_is_left_alone(call: Call, run: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
    code, _, err = call("train", "--quick", "--out", run)
    assert code == 2
    assert "exists and is not empty" in err
    assert before == {p: p.stat().st_mtime_ns for p in run.rglob("*")}


def test_runs_that_cannot_be_read(call: Call, run: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "recipe.json").write_text("{")
    for command in ("evaluate", "predict", "report"):
        more = ["x.png"] if command == "predict" else []
        for path, message in (
            (tmp_path / "nowhere", "no such run"),
            (tmp_path / "foreign", "not a run folder"),
            (damaged, "damaged"),
        ):
            code, out, err = call(command, path, *more)
            assert (code, out) == (2, "")
            assert message in err
    assert call("predict", run)[0] == 2
    assert "no such file" in call("predict", run, tmp_path / "nowhere.png")[2]
    assert call("predict", run, tmp_path / "foreign")[0] == 2
    assert "exclude each other" in call("predict", run, tmp_path, "--json", "--csv")[2]
    assert "did you mean" in call("models", "resnet5O")[2]


def test_a_run_that_diverges_says_where_and_leaves_a_report(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, _, err = call("train", "--lr", "1e30", "--clip-norm", "none", "--quiet", "--out", out)
    assert code == 2
    assert "the loss became" in err
    assert "the first to go was layer" in err
    assert "--lr 1e+29" in err
    assert err.count("\n") == 1
    assert "the loss became" in (out / "report.html").read_text()
    assert json.loads(call("evaluate", out, "--json")[1])["num_images"] == 359


def bad_files(root: Path) -> dict[str, str]:
    """Twenty files of every bad kind -> a word of the reason each must be given."""
    good = encode(noise(0, 24, 24))
    jpeg = encode(noise(0, 64, 64), "JPEG")
    huge = b"\x89PNG\r\n\x1a\n" + encode(noise(0, 4, 4))[8:16] + b"\x00\x01\x86\xa0\x00\x01\x86\xa0"
    kinds: dict[str, tuple[bytes, str]] = {
        "empty": (b"", "zero bytes"),
        "cut": (good[: len(good) // 2], "truncated"),
        "text": (b"just some words", "not an image"),
        "page": (b"<html><script>alert(1)</script></html>", "not an image"),
        "bomb": (huge + b"\x08\x02\x00\x00\x00" + b"\x00" * 20, "bomb"),
        "thin": (encode(noise(0, 1, 900)), "absurd size"),
        "long": (encode(noise(0, 3, 900)), "absurd size"),
    }
    wanted: dict[str, str] = {}
    for index in range(18):
        kind = list(kinds)[index % len(kinds)]
        data, word = kinds[kind]
        name = f"{kind} <script> ü{index}.png"
        (root / ("cats" if index % 2 else "dogs") / name).write_bytes(data)
        wanted[name] = word
    (root / "cats" / "mislabelled.png").write_bytes(jpeg)
    (root / "dogs" / "half.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    return {**wanted, "mislabelled.png": "mislabelled", "half.jpg": "truncated"}


@pytest.mark.parametrize("cache", ["auto", "off"])
def test_two_hundred_images_with_twenty_bad_ones_train_and_the_twenty_are_named(
    cache: str, call: Call, tmp_path: Path
) -> None:
    root = write_tree(tmp_path / "photos", {"cats": 90, "dogs": 90}, size=24)
    wanted = bad_files(root)
    (root / ".ipynb_checkpoints").mkdir()
    (root / ".ipynb_checkpoints" / "0.png").write_bytes(encode(noise(0)))
    (root / "cats" / "loop").symlink_to(root)
    code, out, err = call(
        "train", root, "--quick", "--out", tmp_path / "run", "--set", f"data.cache={cache}"
    )
    assert (code, err) == (0, "")
    assert "left out 20 files" in out
    for name, reason in wanted.items():
        [line] = [part for part in out.splitlines() if name in part]
        assert reason in line
    assert out.count(".ipynb_checkpoints") == 1
    assert "loops back" in out
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert sum(map(sum, data["counts"].values())) == 180
    page = (tmp_path / "run" / "report.html").read_text()
    assert "&lt;script&gt; ü" in page
    assert "<script> ü" not in page

    code, out, err = call(
        "train", root, "--quick", "--out", tmp_path / "b", "--on-bad-image", "fail"
    )
    assert code == 2
    assert all(name in err for name in wanted)
    assert not (tmp_path / "b").exists()
