"""Weights from a file, without ever running code that the file may hold."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from fathom.errors import UserError

# Where training scripts put the weights inside their checkpoints.
_CONTAINERS = ("state_dict", "model", "model_state_dict", "model_state")
# What wrappers put before every name: DistributedDataParallel, torch.compile.
_WRAPPERS = ("module.", "_orig_mod.")


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or of a PyTorch state dict, by name, on the CPU.

    A checkpoint that holds its weights under `state_dict` or `model` is looked into; of a
    checkpoint of ours the averaged weights are taken where there are any.

    Raises UserError for a file that is missing, damaged or no weights, and for one that would have
    to run code to be read.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise UserError(_folder(path))
    try:
        if path.suffix == ".safetensors":
            found: Any = load_file(path)
        else:
            with warnings.catch_warnings():  # of a pickle that is about to be refused
                warnings.simplefilter("ignore", UserWarning)
                found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path}; name a .safetensors or PyTorch file") from error
    except SafetensorError as error:
        raise UserError(
            f"{path} is damaged or no safetensors file ({error}); fetch it again"
        ) from error
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error).lower().replace(" ", "_"):
            raise UserError(f"{path} is damaged or no PyTorch file; fetch it again") from error
        raise UserError(
            f"{path} is refused: to read it, code inside it would have to run. Only plain tensors "
            "are read; save its state_dict(), best as .safetensors, where you trust it"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, LookupError) as error:
        known = isinstance(error, OSError | RuntimeError) and str(error)
        reason = f" ({str(error).splitlines()[0].split('. ')[0]})" if known else ""
        raise UserError(
            f"{path} is damaged or no file of weights{reason}; fetch it again"
        ) from error
    return _plain(found, path)


def _folder(path: Path) -> str:
    inside = sorted(path.rglob("*.safetensors"))
    advice = f", as {inside[0]}" if inside else ""
    return f"{path} is a folder; name the file of weights inside it{advice}"


def _plain(found: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in what was read, without wrappers' prefixes."""
    for name in _CONTAINERS:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
            break
    if not isinstance(found, Mapping) or not found:
        raise UserError(f"{path} holds {type(found).__name__}, not a state dict of tensors")
    strange = [k for k, v in found.items() if not isinstance(v, Tensor) or not isinstance(k, str)]
    if strange:
        raise UserError(f"{path} holds things that are no tensors: {', '.join(map(str, strange))}")
    tensors = dict(found)
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): t for name, t in tensors.items()}
    for part in ("average.", "model."):  # our own checkpoints hold the optimizer's state, too
        inside = {n.removeprefix(part): t for n, t in tensors.items() if n.startswith(part)}
        if inside:
            return inside
    return tensors
