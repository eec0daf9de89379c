"""Files of weights, whole and broken, honest and hostile."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from fathom.errors import UserError
from fathom.weights.files import read_tensors


def tensors() -> dict[str, Tensor]:
    """A small state dict."""
    return {"stem.0.weight": torch.arange(6.0).view(2, 3), "head.2.bias": torch.ones(4)}


def assert_same(found: dict[str, Tensor]) -> None:
    assert found.keys() == tensors().keys()
    assert all(torch.equal(found[k], v) for k, v in tensors().items())


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda t: {"state_dict": t, "epoch": 3},
        lambda t: {"model": t, "optimizer": {"lr": 0.1}},
        lambda t: {f"module.{k}": v for k, v in t.items()},
        lambda t: {"model": {f"_orig_mod.{k}": v for k, v in t.items()}},
        lambda t: {
            **{f"model.{k}": v for k, v in t.items()},
            "optimizer.0.momentum": t["head.2.bias"],
        },
        lambda t: {
            **{f"average.{k}": v for k, v in t.items()},
            **{f"model.{k}": v + 1 for k, v in t.items()},
        },
    ],
)
def test_weights_are_found_in_what_holds_them(wrap: Callable[[Any], Any], tmp_path: Path) -> None:
    torch.save(wrap(tensors()), tmp_path / "w.pth")
    assert_same(read_tensors(tmp_path / "w.pth"))


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "w.safetensors")
    assert_same(read_tensors(tmp_path / "w.safetensors"))


class Evil:
    """Unpickling an instance writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("name", ["w.pth", "w.bin", "w.safetensors"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_malicious_pickle_is_refused_without_running(
    name: str, zipped: bool, tmp_path: Path
) -> None:
    mark, path = tmp_path / "mark", tmp_path / name
    if zipped:
        torch.save({"weight": Evil(mark)}, path)
    else:
        path.write_bytes(pickle.dumps({"weight": Evil(mark)}))
    with pytest.raises(UserError, match=r"refused: to read it, code inside|no safetensors file"):
        read_tensors(path)
    assert not mark.exists()
    hidden = io.BytesIO(path.read_bytes())  # and it would have run
    if zipped:
        torch.load(hidden, weights_only=False)
    else:
        pickle.load(hidden)
    assert mark.exists()


@pytest.mark.parametrize("kept", [0, 5, 0.5, 0.99])
def test_a_truncated_safetensors_file_is_one_clear_message(kept: float, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(tensors(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept if kept >= 1 else kept * len(whole))])
    with pytest.raises(UserError, match="damaged or no safetensors file") as raised:
        read_tensors(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kept", [0, 5, 0.5, 0.99])
def test_a_truncated_state_dict_is_one_clear_message(kept: float, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(tensors(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept if kept >= 1 else kept * len(whole))])
    with pytest.raises(UserError, match="damaged or no") as raised:
        read_tensors(path)
    assert "\n" not in str(raised.value)


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.ones(3)], tmp_path / "list.pth")
    with pytest.raises(UserError, match="holds list"):
        read_tensors(tmp_path / "list.pth")
    torch.save({"weight": torch.ones(3), "epoch": 7}, tmp_path / "mixed.pth")
    with pytest.raises(UserError, match="no tensors: epoch"):
        read_tensors(tmp_path / "mixed.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(UserError, match="damaged or no file of weights"):
        read_tensors(tmp_path / "text.pth")
    with pytest.raises(UserError, match="no such file"):
        read_tensors(tmp_path / "nothing.pth")
    save_file(tensors(), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"is a folder; .*w\.safetensors"):
        read_tensors(tmp_path)
