"""`fathom cost` by its words and its JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_commands import Call, call  # noqa: F401


def test_totals_and_parts(call: Call) -> None:  # noqa: F811
    code, out, _ = call("cost", "vgg16")
    assert code == 0
    for words in (
        "138,357,544",
        "15,470,264,320 multiply-adds",
        "30,940,528,640 operations (2 x MACs)",
        "553.4 MB (527.8 MiB) float32",
        "212 x 212 /32",
    ):
        assert words in out
    assert len(call("cost", "vgg16", "--layers")[1].splitlines()) > len(out.splitlines())


def test_json_has_what_others_build_on(call: Call) -> None:  # noqa: F811
    found = json.loads(call("cost", "resnet18", "--image-size", 96, "--json")[1])
    assert found["flops"] == 2 * found["macs"]
    assert {
        "params",
        "weight_bytes",
        "activation_bytes",
        "receptive_field",
        "layers",
    } <= found.keys()
    assert sum(layer["macs"] for layer in found["layers"]) == found["macs"]
    both = json.loads(call("cost", "resnet18", "resnet34", "--json")[1])["models"]
    assert [m["name"] for m in both] == ["resnet18", "resnet34"]


def test_several_are_compared(call: Call) -> None:  # noqa: F811
    lines = call("cost", "resnet50", "mobilenet_v2")[1].splitlines()
    assert lines[0].split() == ["resnet50", "mobilenet_v2"]
    row = next(line for line in lines if line.startswith("parameters"))
    assert row.split()[1:] == ["25.56", "M", "3.50", "M"]


def test_anybodys_module(call: Call, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n"
        "def net(): return nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.LazyLinear(2))\n"
        "def plain(): return nn.Conv2d(1, 8, 3)\n"
        "number = lambda: 3\n"
    )
    found = json.loads(call("cost", f"{file}:plain", "--image-size", 10, "--json")[1])
    assert (found["params"], found["macs"]) == (80, 8 * 8 * 72)
    for text, words in (
        (f"{file}:nothing", "defines no 'nothing'"),
        (f"{file}:number", "gives int"),
        (f"{tmp_path}/none.py:net", "no such file"),
        ("resnet5", "did you mean 'resnet50'"),
    ):
        code, _, err = call("cost", text)
        assert code == 2
        assert words in err
        assert "Traceback" not in err


def test_designs_of_a_convolution(call: Call) -> None:  # noqa: F811
    options = ("--in", 256, "--out", 128, "--kernel", 5, "--size", 28, "--reduce", 32)
    _, out, _ = call("cost", "conv", *options, "--separable")
    assert "819,200" in out
    assert "7.41" in out
    rows = json.loads(call("cost", "conv", *options, "--json")[1])["designs"]
    assert [r["params"] for r in rows] == [819_200, 110_592]


@pytest.mark.parametrize("json_too", [False, True])
def test_measured_on_this_machine(call: Call, json_too: bool) -> None:  # noqa: F811
    extra = ("--json",) if json_too else ()
    code, out, err = call("cost", "cifar_resnet20", "--measure", "--device", "cpu", *extra)
    assert code == 0, err
    if json_too:
        found = json.loads(out)
        assert found["training_bytes_measured"] > found["params"] * 12
        assert all(0 < row["share"] < 2 for row in found["speed"])
    else:
        assert "images/s" in out
        assert "GFLOP/s" in out


def test_the_effective_field_is_drawn(call: Call, tmp_path: Path) -> None:  # noqa: F811
    page = tmp_path / "field.html"
    code, out, _ = call("cost", "cifar_resnet20", "--effective", page)
    assert code == 0
    assert "of 81 that it allows" in out
    assert "http" not in page.read_text().split("<h1>")[0]


def test_a_run_is_counted_and_its_own_field_drawn(call: Call, tmp_path: Path) -> None:  # noqa: F811
    run = tmp_path / "run"
    options = ("--quick", "--device", "cpu", "--out", run, "--quiet")
    assert call("train", "digits", *options)[0] == 0
    found = json.loads(call("cost", run, "--json")[1])
    assert (found["image_size"], found["in_channels"]) == ([8, 8], 1)
    assert found["layers"][-1]["output_shape"] == [1, 10]
    code, out, _ = call("cost", run, "--image-size", 64, "--effective", tmp_path / "f.html")
    assert code == 0
    assert "of 81 that it allows" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "cost of what?"),
        (("resnet18", "--image-size", 0), "at least 1"),
        (("resnet18", "--device", "cpu"), "give --measure with it"),
        (("resnet18", "resnet34", "--layers"), "--layers prints the layers of one"),
        (("resnet18", "resnet34", "--effective", "f.html"), "name just one"),
        (("resnet18", "--effective", "/no/such/folder/f.html"), "there is no folder"),
        (("vgg16", "--image-size", 16), "too small"),
    ],
)
def test_what_cannot_be_counted_is_one_message(
    call: Call,  # noqa: F811
    options: tuple[object, ...],
    message: str,
) -> None:
    code, out, err = call("cost", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_budget_that_nothing_fits_says_so(call: Call) -> None:  # noqa: F811
    assert "no network fits" in call("models", "--max-params", "1k")[1]
