"""What --weights means, and the network that comes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import fathom
from fathom.errors import UserError
from fathom.features.backbone import Backbone, find_backbones
from fathom.preprocess import Preprocess

VIEW = Preprocess(32, 36, 1, (0.5,), (0.25,), "bicubic")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The checkpoint of a run on gray images of seven classes with a network of its own Spec."""
    torch.manual_seed(0)
    spec: dict[str, Any] = {"depths": [1, 1], "widths": [8, 16]}
    model = fathom.create_model("cifar_resnet20", num_classes=7, in_channels=1, **spec)
    file = tmp_path / "gray" / "checkpoints" / "best-00000001.safetensors"
    file.parent.mkdir(parents=True)
    save_file({f"model.{k}": v for k, v in model.state_dict().items()}, file)
    recipe = {"recipe": {"model": {"name": "cifar_resnet20", "spec": spec}}}
    (tmp_path / "gray" / "recipe.json").write_text(json.dumps(recipe))
    (tmp_path / "gray" / "data.json").write_text(json.dumps({"preprocess": VIEW.to_dict()}))
    return file


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A file of weights that says nothing about itself."""
    torch.manual_seed(0)
    file = tmp_path / "plain.safetensors"
    save_file(fathom.create_model("cifar_resnet20", num_classes=5).state_dict(), file)
    return file


@pytest.mark.parametrize(
    ("text", "model", "expected"),
    [
        ("lite", None, [("efficientnet_lite0", "lite")]),
        ("lite", "efficientnet_lite1", [("efficientnet_lite1", "lite")]),
        ("lite2, lite0", None, [("efficientnet_lite2", "lite"), ("efficientnet_lite0", "lite")]),
        ("torchvision", "resnet18", [("resnet18", "torchvision")]),
        ("torchvision:DEFAULT", "resnet18", [("resnet18", "torchvision:DEFAULT")]),
        ("resnet50@torchvision", None, [("resnet50", "torchvision")]),
        ("timm:resnet50.a1_in1k", None, [("resnet50", "timm:resnet50.a1_in1k")]),
        ("timm:timm/resnet18.a1", None, [("resnet18", "timm:timm/resnet18.a1")]),
        ("timm:you/best", "vgg16", [("vgg16", "timm:you/best")]),
        ("lite1,torchvision", "vgg11", [("efficientnet_lite1", "lite"), ("vgg11", "torchvision")]),
    ],
)
def test_what_an_option_means(
    text: str, model: str | None, expected: list[tuple[str, str]]
) -> None:
    assert [(b.name, b.weights) for b in find_backbones(text, model)] == expected


def test_every_network_with_a_peer_is_found_by_its_peers_name() -> None:
    for name in fathom.list_models():
        peer = fathom.model_card(name).timm
        if peer:
            (found,) = find_backbones(f"timm:{peer}.some_training")
            assert fathom.model_card(found.name).timm == peer


@pytest.mark.parametrize(
    ("text", "model", "message"),
    [
        ("lite,lite0", None, r"names efficientnet_lite0 \(lite\) twice"),
        ("lite,", None, "has an empty entry"),
        ("resnet5O@torchvision", None, "unknown model 'resnet5O'; did you mean 'resnet50'"),
        ("torchvision", "resnet5O", "did you mean 'resnet50'"),
        ("lite1", "resnet50", "--model resnet50 has no effect"),
        ("resnet50@torchvision", "resnet50", "--model resnet50 has no effect"),
        ("resnet50@", None, "names no source behind @"),
        ("torchvision", None, "does not say of which network; add --model NAME, or write NAME@t"),
        ("timm:you/best", None, "does not say of which network"),
        ("timm:", None, "does not say of which network"),
        ("light", None, "no weights called 'light'; --weights takes lite, "),
        ("gone/best.safetensors", None, "no weights called 'gone/best.safetensors'"),
    ],
)
def test_what_is_refused(text: str, model: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_backbones(text, model)


def test_a_checkpoint_knows_its_network(checkpoint: Path) -> None:
    (found,) = find_backbones(str(checkpoint))
    assert found == Backbone("cifar_resnet20", str(checkpoint))
    assert found.label == "cifar_resnet20 (gray)"
    model = found.build()
    assert (model.num_classes, model.in_channels, model.preprocess) == (7, 1, VIEW)
    assert not model.training
    stored = fathom.weights.files.read_tensors(checkpoint)
    assert all(torch.equal(stored[name], t) for name, t in model.state_dict().items())
    with pytest.raises(UserError, match="do not fit this network"):
        Backbone("cifar_resnet32", str(checkpoint)).build()
    with pytest.raises(UserError, match="--model vgg11 has no effect"):
        find_backbones(str(checkpoint), "vgg11")


def test_a_folder_is_answered_with_the_file(checkpoint: Path) -> None:
    with pytest.raises(UserError, match=f"is a folder; name the file inside it, as {checkpoint}"):
        find_backbones(str(checkpoint.parent.parent))


def test_a_damaged_run_is_named(checkpoint: Path) -> None:
    (checkpoint.parent.parent / "recipe.json").write_text("{}")
    with pytest.raises(UserError, match=r"recipe.json is damaged"):
        find_backbones(str(checkpoint))


def test_a_plain_file_needs_a_network(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="does not say of which network"):
        find_backbones(str(plain))
    monkeypatch.chdir(plain.parent)
    (found,) = find_backbones(plain.name, "cifar_resnet20")
    assert Path(found.weights).is_absolute()
    assert found.label == "cifar_resnet20 (plain.safetensors)"
    assert found.build().num_classes == 5
    assert find_backbones(f"cifar_resnet20@{plain}") == (found,)


@pytest.mark.parametrize("library", ["torchvision", "timm", None])
def test_classes_are_those_of_the_weights_whoever_named_them(
    library: str | None, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = fathom.create_model("resnet18", num_classes=3)
    named = model.state_dict()
    if library is not None:
        named = fathom.weights.load.reference_state_dict(model, library)
    save_file(named, tmp_path / "w.safetensors")
    built = Backbone("resnet18", str(tmp_path / "w.safetensors")).build()
    assert built.num_classes == 3
    (mine,), (theirs,) = built.classifiers(), model.classifiers()
    assert torch.equal(mine.bias, theirs.bias)


def test_weights_of_another_network_are_refused(plain: Path) -> None:
    with pytest.raises(UserError, match="do not fit this network"):
        Backbone("resnet18", str(plain)).build()


def test_a_folder_of_the_same_name_does_not_hide_lite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lite").mkdir()
    assert find_backbones("lite") == (Backbone("efficientnet_lite0", "lite"),)
