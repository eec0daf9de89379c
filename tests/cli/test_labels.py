"""`fathom doctor labels` as a user calls it."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.test_commands import Call, call
from tests.cli.test_embed import weights
from tests.images import encode, write

__all__ = ["call", "weights"]

COLOURS = {"blue": (40, 60, 200), "green": (50, 190, 60), "red": (210, 50, 40)}
EACH, WRONG = 20, 2  # images of a class, and how many of them are called the next


@pytest.fixture
def colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The working folder: a table of images in three colours; returned are those that it calls by
    another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    rng, names = np.random.default_rng(0), list(COLOURS)
    rows, wrong = ["path,label"], set()
    for place, (name, colour) in enumerate(COLOURS.items()):
        for number in range(EACH):
            pixels = np.array(colour) + rng.normal(0, 25, (32, 32, 3))
            file = f"{name}{number}.png"
            write(tmp_path / file, encode(pixels.clip(0, 255).astype(np.uint8)))
            label = names[(place + (number < WRONG)) % 3]
            rows.append(f"{file},{label}")
            wrong |= {file} if label != name else set()
    (tmp_path / "colours.csv").write_text("\n".join(rows))
    return wrong


def test_wrong_labels_are_counted_and_named(call: Call, colours: set[str], weights: str) -> None:
    code, out, err = call("doctor", "labels", "colours.csv", "--weights", weights, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["num_images"] == 3 * EACH
    assert found["wrong"] == pytest.approx(len(colours) / (3 * EACH))
    assert found["low"] < found["wrong"] < found["high"]
    assert found["agree"] == pytest.approx(1 - found["wrong"])
    suspects = found["suspects"]
    assert suspects["count"] == len(colours)
    assert {one["path"] for one in suspects["images"]} == colours
    assert all(one["path"].startswith(one["seems"]) for one in suspects["images"])
    assert all(one["label"] != one["seems"] for one in suspects["images"])


def test_they_are_said_in_words(call: Call, colours: set[str], weights: str) -> None:
    code, out, _ = call("doctor", "labels", "colours.csv", "--weights", weights, "--top", 4)
    assert code == 0
    lines = out.splitlines()
    assert "gives 90.0% of 60 images" in lines[0]
    assert lines[1].startswith("about 10.0% of the labels are wrong (95 % interval 4.7% to 20.1%)")
    assert lines[-2] == "and 2 more; --top shows more of them"
    assert lines[-1].startswith("features are kept in ")


def test_mixed_up_labels_are_told_apart_from_a_few_wrong_ones(
    call: Call, colours: set[str], weights: str
) -> None:
    table = Path("colours.csv")
    head, *rows = table.read_text().splitlines()
    files = [row.split(",")[0] for row in rows]
    names = np.random.default_rng(1).permutation([row.split(",")[1] for row in rows])
    table.write_text("\n".join([head, *(f"{f},{n}" for f, n in zip(files, names, strict=True))]))
    code, out, _ = call("doctor", "labels", "colours.csv", "--weights", weights, "--no-cache")
    assert code == 0
    assert "labels and images have been mixed up" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("colours.csv", "--top", "0"), "--top is 0; use 1 or more"),
        (("colours.csv", "--val-fraction", "0.5"), "--val-fraction has no effect"),
        (("one.csv",), "has 1 class; labels need two or more"),
        (("single.csv",), "blue: one usable image or none"),
        (("none",), "has no classes; labels need two or more"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    call: Call, colours: set[str], weights: str, arguments: tuple[str, ...], said: str
) -> None:
    Path("none").mkdir()
    for number in range(2):
        Path(f"red{number}.png").rename(f"none/{number}.png")
    Path("one.csv").write_text("path,label\nred3.png,red\nred4.png,red\n")
    Path("single.csv").write_text("path,label\nred3.png,red\nred4.png,red\nblue0.png,blue\n")
    code, out, err = call("doctor", "labels", *arguments, "--weights", weights)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1
