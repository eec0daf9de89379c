"""Weights into networks: whose names, which heads, which mismatches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

import fathom
from fathom.errors import UserError
from fathom.weights.load import load_weights, reference_state_dict

TINY = {"stem": "cifar", "widths": (8, 8, 16, 16)}


def resnet(**settings: object) -> fathom.ImageClassifier:
    return fathom.create_model("resnet18", **{"num_classes": 5, **TINY, **settings})  # type: ignore[arg-type]


def test_our_own_names_are_recognised(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, target = resnet(), resnet()
    save_file(source.state_dict(), tmp_path / "own.safetensors")
    loaded = load_weights(target, tmp_path / "own.safetensors")
    assert (loaded.layout, loaded.replaced, loaded.note) == ("fathom", (), None)
    assert all(torch.equal(target.state_dict()[k], v) for k, v in source.state_dict().items())


def test_another_head_is_replaced_and_said_so() -> None:
    source, target = resnet(), resnet(num_classes=3)
    loaded = load_weights(target, reference_state_dict(source))
    assert loaded.layout == "torchvision"
    assert loaded.replaced == ("head.2.weight", "head.2.bias")
    assert loaded.note is not None
    assert "know 5 classes and the network 3" in loaded.note
    for name, value in target.state_dict().items():
        if name.startswith("head"):
            assert not value.any(), "a new classifier starts at zero"
        else:
            assert torch.equal(value, source.state_dict()[name])


def missing(tensors: dict[str, Tensor]) -> None:
    del tensors["layer1.0.conv1.weight"]


def unknown(tensors: dict[str, Tensor]) -> None:
    tensors["layer9.weight"] = torch.ones(1)


def misshapen(tensors: dict[str, Tensor]) -> None:
    tensors["conv1.weight"] = tensors["conv1.weight"][:, :1]


def narrow_head(tensors: dict[str, Tensor]) -> None:
    tensors["fc.weight"] = tensors["fc.weight"][:, :3]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (missing, r"1 missing: layer1\.0\.conv1\.weight"),
        (unknown, r"1 unknown: layer9\.weight"),
        (misshapen, r"conv1\.weight is \(8, 1, 3, 3\), not \(8, 3, 3, 3\)"),
        (narrow_head, r"fc\.weight is \(5, 3\), not \(5, 16\)"),
    ],
)
def test_any_other_mismatch_is_an_error_that_lists_keys(damage, message) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    tensors = reference_state_dict(resnet())
    damage(tensors)
    target = resnet()
    before = {k: v.clone() for k, v in target.state_dict().items()}
    with pytest.raises(UserError, match=message):
        load_weights(target, tensors)
    assert all(torch.equal(before[k], v) for k, v in target.state_dict().items())


def test_counters_of_batches_may_be_missing() -> None:
    tensors = {k: v for k, v in reference_state_dict(resnet()).items() if "num_batches" not in k}
    assert load_weights(resnet(), tensors).layout == "torchvision"


def test_half_precision_is_widened() -> None:
    tensors = {k: v.half() for k, v in reference_state_dict(resnet()).items()}
    target = resnet()
    load_weights(target, tensors)
    assert target.state_dict()["stem.0.weight"].dtype is torch.float32


def test_the_meta_device_holds_no_weights() -> None:
    with torch.device("meta"):
        target = resnet()
    with pytest.raises(UserError, match="meta device"):
        load_weights(target, reference_state_dict(resnet()))


def test_a_network_without_a_peer_has_no_reference() -> None:
    with pytest.raises(UserError, match="no peer"):
        reference_state_dict(fathom.create_model("alexnet_2012", num_classes=2))
    with pytest.raises(UserError, match="library 'tim'"):
        reference_state_dict(resnet(), "tim")


def test_auxiliary_classifiers_are_left_out_of_a_network_without_them() -> None:
    theirs = torchvision.models.googlenet(init_weights=False)
    target = fathom.create_model("googlenet", auxiliary=False)
    loaded = load_weights(target, theirs.state_dict())
    assert (loaded.layout, loaded.replaced) == ("torchvision", ())
    with pytest.raises(UserError, match=r"missing: aux1\.conv\.conv\.weight"):
        load_weights(
            fathom.create_model("googlenet"),
            {k: v for k, v in theirs.state_dict().items() if not k.startswith("aux")},
        )
