"""Checkpoints survive crashes, damage and full disks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fathom.errors import UserError
from fathom.training.checkpoint import fingerprint, load_checkpoint, save_checkpoint


def tensors(value: float) -> dict[str, torch.Tensor]:
    weights = torch.full((64, 64), value).contiguous()
    return {"model.weight": weights, "model.bias": torch.arange(3)}


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path) -> None:
    odd = {"a": torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last), "b": torch.tensor(7)}
    save_checkpoint(tmp_path, "last", odd, {"step": 3, "loss": 0.1 + 0.2})
    found = load_checkpoint(tmp_path, "last")
    assert found.state == {"step": 3, "loss": 0.1 + 0.2}
    assert all(torch.equal(found.tensors[k], v) for k, v in odd.items())


def test_old_tensors_are_swept_but_one_generation_stays(tmp_path: Path) -> None:
    for step in range(5):
        save_checkpoint(tmp_path, "last", tensors(step), {"step": step})
    save_checkpoint(tmp_path, "best", tensors(9), {"step": 2})
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best-00000002.safetensors",
        "best.json",
        "last-00000003.safetensors",
        "last-00000004.safetensors",
        "last.json",
        "previous.json",
    ]


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove", "pointer", "empty pointer"])
def test_a_damaged_last_falls_back_to_the_previous_and_says_so(tmp_path: Path, harm: str) -> None:
    save_checkpoint(tmp_path, "last", tensors(1), {"step": 1})
    save_checkpoint(tmp_path, "last", tensors(2), {"step": 2})
    file = tmp_path / "last-00000002.safetensors"
    data = bytearray(file.read_bytes())
    if harm == "flip":
        data[-5] ^= 1
        file.write_bytes(data)
    elif harm == "truncate":
        file.write_bytes(data[: len(data) // 2])
    elif harm == "remove":
        file.unlink()
    else:
        (tmp_path / "last.json").write_text("" if harm == "empty pointer" else '{"tensors": 3}')
    found = load_checkpoint(tmp_path, "last")
    assert found.state["step"] == 1
    assert found.note is not None
    assert "previous good checkpoint, step 1" in found.note
    # A save over the damage neither loses the good one nor trips over the bad one.
    save_checkpoint(tmp_path, "last", tensors(3), {"step": 3})
    assert load_checkpoint(tmp_path, "last").state["step"] == 3


def test_when_both_are_damaged_the_message_says_it(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, "last", tensors(step), {"step": step})
    for file in tmp_path.glob("*.safetensors"):
        file.write_bytes(b"no")
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(tmp_path, "last")
    with pytest.raises(UserError, match="no best checkpoint"):
        load_checkpoint(tmp_path, "best")


def test_a_pointer_cannot_reach_outside_the_folder(tmp_path: Path) -> None:
    inside = tmp_path / "checkpoints"
    inside.mkdir()
    save_checkpoint(inside, "last", tensors(1), {"step": 1})
    (inside / "last-00000001.safetensors").rename(tmp_path / "outside.safetensors")
    entry = json.loads((inside / "last.json").read_text())
    entry["tensors"] = "../outside.safetensors"
    (inside / "last.json").write_text(json.dumps(entry))
    with pytest.raises(UserError):
        load_checkpoint(inside, "last")


FULL = """
import resource, sys, torch
from pathlib import Path
from fathom.training.checkpoint import save_checkpoint
folder = Path(sys.argv[1])
save_checkpoint(folder, "last", {"model.w": torch.ones(1000)}, {"step": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_checkpoint(folder, "last", {"model.w": torch.ones(1_000_000)}, {"step": 2})
except OSError:
    sys.exit(7)
"""


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX")
def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk: the write breaks off half-way."""
    code = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], check=False).returncode
    assert code == 7
    assert load_checkpoint(tmp_path, "last").state["step"] == 1
    assert not list(tmp_path.glob(".*")), "a half-written file was left behind"


def test_the_fingerprint_sees_every_bit_and_no_layout() -> None:
    weights = {"a": torch.randn(4, 3, 2, 2)}
    same = {"a": weights["a"].to(memory_format=torch.channels_last)}
    other = {"a": weights["a"].clone()}
    other["a"].view(torch.int32)[0, 0, 0, 0] ^= 1
    assert fingerprint(weights) == fingerprint(same) != fingerprint(other)
    assert fingerprint({"b": weights["a"]}) != fingerprint(weights)
