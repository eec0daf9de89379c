"""`fathom look` as a user calls it."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import fathom
from tests.cli.test_commands import Call, call, run
from tests.images import encode, noise, write

__all__ = ["call", "run"]


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "pet.png", encode(noise(1, 20, 30)))
    return tmp_path / "pet.png"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(fathom.create_model("cifar_resnet20", num_classes=7).state_dict(), file)
    return f"cifar_resnet20@{file}"


def test_a_sheet_of_a_run(call: Call, run: Path, picture: Path) -> None:
    code, out, err = call("look", run, picture)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "sheet: pet-look.png"
    assert out.startswith("class")
    assert "by Grad-CAM, stage" in out
    assert "by occlusion: " in out
    with Image.open("pet-look.png") as sheet:
        assert sheet.size[0] > 900
    top = fathom.load(run).predict(picture)[0].top
    assert f"{top[0][0]}  " in out
    assert f"{top[0][1]:.1%}" in out


def test_json_is_one_object(call: Call, weights: str, picture: Path) -> None:
    options = ("--class", 3, "--stage", 2, "--channel", 1, "--among", picture.parent, "--json")
    code, out, err = call("look", picture, "--weights", weights, "--out", "x.png", *options)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["file"], found["class"], found["stage"]) == ("x.png", "class 3", 2)
    assert found["network"] == "cifar_resnet20 (small.safetensors)"
    assert found["deconvolution"]["channel"] == 1
    assert [one["picture"] for one in found["patches"]] == ["pet.png"]
    chances = found["occlusion"]["probabilities"]
    assert (len(chances), len(chances[0])) == (12, 12)
    assert len(found["maps"]) == 3
    assert Path("x.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["PICTURE"], "1 paths; name a run and a picture"),
        (["RUN", "PICTURE", "--weights", "lite0"], "2 paths with --weights"),
        (["RUN", "PICTURE", "--model", "resnet18"], "--model has no effect"),
        (["RUN", "nothing.png"], "no such picture: nothing.png"),
        (["nothing", "PICTURE"], "nothing"),
        (["RUN", "PICTURE", "--class", "cow"], "unknown class 'cow'"),
        (["RUN", "PICTURE", "--stage", "9"], "stage 9 does not exist"),
        (["RUN", "PICTURE", "--channel", "9999"], "channel 9999 does not exist"),
        (["RUN", "PICTURE", "--out", "x.jpg"], "a sheet is a .png file"),
        (["RUN", "PICTURE", "--out", "nowhere/x.png"], "there is no folder nowhere"),
        (["RUN", "PICTURE", "--among", "nowhere"], "nowhere"),
        (["PICTURE", "--weights", "lite0,lite1"], "--weights names 2 networks"),
        (["PICTURE", "--weights", "nothing"], "no weights called 'nothing'"),
    ],
)
def test_mistakes_are_one_line(
    call: Call, run: Path, picture: Path, arguments: list[str], reason: str
) -> None:
    given = [{"RUN": str(run), "PICTURE": str(picture)}.get(a, a) for a in arguments]
    code, out, err = call("look", *given)
    assert (code, out) == (2, "")
    assert reason in err
    assert len(err.splitlines()) == 1
    assert not Path("pet-look.png").exists()
