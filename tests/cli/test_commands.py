"""The commands as a user calls them, in this process."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fathom.cli import main
from fathom.errors import UserError
from fathom.version import __version__
from tests.images import encode, noise, write_tree

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run `fathom ARGUMENTS` -> exit code, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on digits, two steps long."""
    out = tmp_path_factory.mktemp("cli") / "run"
    with pytest.raises(SystemExit) as ended:
        main(["train", "--quick", "--quiet", "--out", str(out)])
    assert not ended.value.code
    return out


def test_train_prints_plain_lines_and_where_the_report_is(call: Call, tmp_path: Path) -> None:
    code, out, err = call("train", "--quick", "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    assert "10 classes; images: 1,438 train, 359 val" in out
    assert re.search(r"top-1 \d+\.\d+% of 359 val images \(95 % interval", out)
    assert f"report: {tmp_path / 'run' / 'report.html'}" in out
    assert (tmp_path / "run" / "report.html").stat().st_size > 100_000
    assert "\x1b" not in out, "no colour codes where there is no terminal"


def test_train_json_is_one_object_and_nothing_else(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("train", "--quick", "--json", "--out", tmp_path / "run")
    assert code == 0
    found = json.loads(out)
    assert {"run", "top1", "loss", "epochs", "seconds"} <= set(found)
    assert found["run"] == str(tmp_path / "run")
    assert found["steps"] == 2


def test_quiet_is_quiet(call: Call, tmp_path: Path) -> None:
    assert call("train", "--quick", "--quiet", "--out", tmp_path / "run") == (0, "", "")


def test_runs_are_named_after_data_and_model(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("digits-cifar_resnet20", "digits-cifar_resnet20-2"):
        assert json.loads(call("train", "--quick", "--json")[1])["run"] == f"runs/{folder}"


def test_options_reach_the_recipe(call: Call, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "model": "cifar_plain20",
        "optimizer": "adamw",
        "lr": 0.002,
        "schedule": "cosine",
        "weight-decay": 0.01,
        "label-smoothing": 0.1,
        "ema": "none",
        "clip-norm": 1.0,
        "select": "best",
        "patience": 2,
        "batch-size": 100,
        "image-size": 12,
        "seed": 7,
        "val-fraction": 0.3,
        "precision": "float32",
    }
    words = [word for k, v in options.items() for word in (f"--{k}", v)]
    sets = ["--set", "schedule.warmup=0.25", "--set", "augment.flip=true"]
    call("train", "--quick", "--quiet", "--out", tmp_path / "run", *words, *sets)
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())["recipe"]
    assert recipe["model"]["name"] == "cifar_plain20"
    assert recipe["optimizer"]["name"] == "adamw"
    assert recipe["optimizer"]["lr"] == 0.002
    assert recipe["optimizer"]["weight_decay"] == 0.01
    assert recipe["schedule"] == {"name": "cosine", "warmup": 0.25, "final": 0.0}
    assert recipe["loss"]["label_smoothing"] == 0.1
    assert recipe["ema"] is None
    assert recipe["clip_norm"] == 1
    assert recipe["augment"]["flip"] is True
    assert recipe["data"]["val_fraction"] == 0.3
    for name in ("select", "patience", "seed", "precision"):
        assert recipe[name] == options[name]
    assert (recipe["batch_size"], recipe["image_size"], recipe["steps"]) == (100, 12, 2)


def test_evaluate_repeats_the_result_of_the_run(call: Call, run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    code, out, _ = call("evaluate", run, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["top1"], found["num_images"]) == (result["top1"], 359)
    assert found["loss"] == pytest.approx(result["loss"], rel=1e-6)
    assert {"ece", "per_class", "top5"} <= set(found)
    text = call("evaluate", run)[1]
    assert f"top-1 {result['top1']:.2%}" in text
    assert "95 % interval" in text


def test_evaluate_takes_other_data_by_class_name(call: Call, run: Path, tmp_path: Path) -> None:
    write_tree(tmp_path / "data", {"9": 3, "3": 2}, size=8, channels=1)
    found = json.loads(call("evaluate", run, tmp_path / "data", "--json")[1])
    support = {c["name"]: c["support"] for c in found["per_class"]}
    assert found["num_images"] == 5
    assert (support["9"], support["3"], support["0"]) == (3, 2, 0)
    write_tree(tmp_path / "data", {"zebra": 1}, size=8, channels=1)
    code, _, err = call("evaluate", run, tmp_path / "data")
    assert code == 2
    assert "zebra" in err


def test_predict_names_classes_for_files_and_folders(call: Call, run: Path, tmp_path: Path) -> None:
    name = "odd <script> näme.png"
    (tmp_path / name).write_bytes(encode(noise(1, 20, 30)))
    (tmp_path / "broken.png").write_bytes(b"nothing")
    code, out, _ = call("predict", run, tmp_path, "--json")
    found = json.loads(out)["predictions"]
    assert code == 0
    assert [Path(p["path"]).name for p in found] == ["broken.png", name]
    assert found[0]["error"] == "not an image"
    chances = [c["probability"] for c in found[1]["top"]]
    assert len(chances) == 5
    assert chances == sorted(chances, reverse=True)
    assert 0 < sum(chances) <= 1.000001
    rows = list(csv.DictReader(io.StringIO(call("predict", run, tmp_path, "--csv")[1])))
    assert [r["rank"] for r in rows] == ["", "1", "2", "3", "4", "5"]
    _, out, _ = call("predict", run, tmp_path / name, "--top", 2)
    assert len(re.findall(r"\d %|\d%", out)) == 2


def test_models_lists_cards(call: Call) -> None:
    found = json.loads(call("models", "resnet*", "--json")[1])["models"]
    assert [m["name"] for m in found] == [
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
    ]
    assert all(m["flops"] == 2 * m["macs"] for m in found)
    listed = call("models", "resnet*")[1].splitlines()
    assert [line.split()[0] for line in listed[1:-1]] == [m["name"] for m in found]
    assert re.split(r"  +", listed[3])[:7] == [
        "resnet50",
        "2015",
        "1512.03385",
        "25.56 M",
        "4.09 G",
        "8.18 G",
        "224",
    ]


def test_one_model_shows_its_card(call: Call) -> None:
    _, out, _ = call("models", "resnet50")
    for words in (
        "Deep Residual Learning for Image Recognition, 2015, arXiv:1512.03385",
        "25,557,032 parameters; 4,089,184,256 MACs = 8,178,368,512 FLOPs",
        "peer in torchvision: resnet50",
        "1x1 conv, w channels, BN, ReLU",
        "+ ───",
        "10-crop",
    ):
        assert words in out
    stages = [line.split()[:6] for line in out.splitlines() if line.startswith("stage ")]
    assert stages[1:] == [
        ["stage", str(number), side, "x", side, channels]
        for number, side, channels in (
            (1, "56", "256"),
            (2, "28", "512"),
            (3, "14", "1024"),
            (4, "7", "2048"),
        )
    ]
    found = json.loads(call("models", "resnet50", "--json")[1])["models"][0]
    assert found["stages"][1]["channels"] == 256


def test_report_is_written_anew(call: Call, run: Path) -> None:
    (run / "report.html").unlink()
    assert json.loads(call("report", run, "--json")[1])["report"] == str(run / "report.html")
    assert (run / "report.html").exists()


def test_version_and_help(call: Call) -> None:
    assert call("--version")[1].strip() == f"fathom {__version__}"
    for command in ((), ("train",), ("evaluate",), ("predict",), ("models",), ("report",)):
        code, out, _ = call(*command, "--help")
        assert code == 0
        assert "Usage: fathom" in out


def test_interrupt_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    """Ctrl-C, as a real signal to a real process; then the run is resumed to its end."""
    import signal

    out = tmp_path / "run"
    words = [sys.executable, "-m", "fathom", "train", "--epochs", "400", "--out", str(out)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line.startswith("epoch"):
                break
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        told = process.stderr.read()
        assert process.wait() == 130
    assert f"fathom train --resume {out}" in told
    assert "Traceback" not in told
    step = json.loads((out / "checkpoints" / "last.json").read_text())["state"]["step"]
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert step >= last > 0


def test_python_predicts_arrays_tensors_and_pillow_images(run: Path) -> None:
    import torch
    from PIL import Image

    import fathom

    classifier = fathom.load(run)
    pixels = noise(3, 8, 8, 1)
    same = [
        pixels,
        pixels[..., 0],
        torch.from_numpy(pixels).permute(2, 0, 1),
        Image.fromarray(pixels[..., 0]),
    ]
    tops = [p.top for p in classifier.predict(same)]
    assert all(t == tops[0] for t in tops)
    with pytest.raises(UserError, match="uint8"):
        classifier.predict(pixels.astype(float))
