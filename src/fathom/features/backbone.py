"""Which pretrained networks: the option --weights, and the network that it means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from fathom.errors import UserError, require
from fathom.models.base import ImageClassifier
from fathom.models.keys import translate
from fathom.models.registry import build_model, list_models, model_card
from fathom.weights.load import load_weights
from fathom.weights.sources import Pretrained, absolute, find_weights, lite_model

_LITE = {f"lite{i}": f"efficientnet_lite{i}" for i in range(3)}
_WAYS = (
    "lite, lite0, lite1, lite2, NETWORK@torchvision, timm:NAME, NETWORK@FILE, or the path of a "
    "run's checkpoint"
)


@dataclass(frozen=True)
class Backbone:
    """A network of the zoo, and weights for it: a source as `find_weights` takes it."""

    name: str
    weights: str

    @property
    def label(self) -> str:
        """For people: "efficientnet_lite0 (lite)"; of a file its run or its name."""
        path = Path(self.weights)
        if not path.is_absolute():
            return f"{self.name} ({self.weights})"
        return f"{self.name} ({path.parent.parent.name if _run_of(path) else path.name})"

    @property
    def spec(self) -> dict[str, Any]:
        """What of the network's Spec a run of ours replaced, empty for weights from elsewhere."""
        run = _run_of(Path(self.weights))
        return dict(run["spec"]) if run is not None and run["name"] == self.name else {}

    def found(self) -> Pretrained:
        """Where the weights come from and how images are prepared for them; nothing is read."""
        return find_weights(self.weights, model_card(self.name))

    def build(self) -> ImageClassifier:
        """The network with these weights, its own classifier included, in evaluation mode.

        It has as many classes as the weights, the channels of their preprocessing, and that as its
        `preprocess`; of a run, the Spec that was trained. Raises UserError for weights that cannot
        be had, are damaged, or belong to another network.
        """
        found = self.found()
        tensors = found.read()
        shape = {"in_channels": found.preprocess.channels, **self.spec}
        classes = _num_classes(build_model(self.name, **shape), tensors)
        model = build_model(self.name, num_classes=classes, **shape)
        load_weights(model, tensors)
        model.preprocess = found.preprocess
        return model.eval()


def _num_classes(model: ImageClassifier, tensors: Mapping[str, Tensor]) -> int:
    """The classes that weights know, whoever named them; the network's where nothing tells."""
    ours = f"head.{len(model.head) - 1}.bias"
    tables = [translate([ours], rows) for rows in model.key_maps().values()]
    names = [ours, *(table[ours].name for table in tables)]
    return next((len(tensors[name]) for name in names if name in tensors), model.num_classes)


def find_backbones(text: str, model: str | None = None) -> tuple[Backbone, ...]:
    """The option --weights -> the networks that it names, in its order.

    Args:
        text: entries with commas between them: lite0, lite1 or lite2; NETWORK@SOURCE, as in
            resnet50@torchvision; the path of a checkpoint inside a run's folder, whose network the
            run knows; and sources alone: lite, timm:NAME, torchvision, torchvision:NAME, a path.
        model: the network of sources alone. Without it lite is lite0, timm:NAME the network that
            timm calls so, and the others are refused.

    Weights are looked for only when they are used. Raises UserError for an unknown network, the
    same entry twice, an entry without a network, and a model that no entry needs.
    """
    whole = Path(text).expanduser().is_file()
    entries = [text] if whole else [entry.strip() for entry in text.split(",")]
    require(all(entries), f"--weights {text!r} has an empty entry; it takes {_WAYS}")
    named = [_named(entry) for entry in entries]
    require(
        model is None or None in [name for name, _ in named],
        f"--model {model} has no effect with --weights {text}, which says its networks itself; "
        "leave it out",
    )
    found: list[Backbone] = []
    for name, source in named:
        name = name or model or lite_model(source) or _of_timm(source)
        if name is None:
            raise UserError(
                f"--weights {source} does not say of which network; add --model NAME, or write "
                f"NAME@{source}"
            )
        backbone = Backbone(model_card(name).name, absolute(source))
        require(backbone not in found, f"--weights names {backbone.label} twice; name it once")
        found.append(backbone)
    return tuple(found)


def _named(entry: str) -> tuple[str | None, str]:
    """The network that an entry itself says, None where it does not, and its source."""
    if entry in _LITE:
        return _LITE[entry], "lite"
    if entry == "lite" or entry.partition(":")[0] in ("torchvision", "timm"):
        return None, entry  # before files of the same names, as in `fathom.weights.sources`
    path = Path(entry).expanduser()
    if path.exists():
        require(
            not path.is_dir(),
            f"--weights {entry} is a folder; name the file inside it{_inside(path)}",
        )
        run = _run_of(path)
        return None if run is None else run["name"], entry
    name, at, source = entry.partition("@")
    if at and "/" not in name:
        require(bool(source), f"--weights {entry} names no source behind @; it takes {_WAYS}")
        return name, source
    raise UserError(f"no weights called {entry!r}; --weights takes {_WAYS}")


def _inside(folder: Path) -> str:
    """Advice on a file of weights below a folder, the best of a run before others."""
    files = sorted(folder.rglob("*.safetensors"))
    return f", as {files[0]}" if files else ""


def _of_timm(source: str) -> str | None:
    """The network of weights on timm's hub, which are called timm:ARCHITECTURE.TRAINING.

    None for other sources, other people's names, which say nothing, and architectures that the zoo
    lacks; `find_weights` compares the architecture that the weights themselves name.
    """
    kind, _, name = source.partition(":")
    architecture = name.removeprefix("timm/").partition(".")[0]
    if kind != "timm" or not architecture:
        return None
    return next((m for m in list_models() if model_card(m).timm == architecture), None)


def _run_of(path: Path) -> Mapping[str, Any] | None:
    """The network of a run whose checkpoint this is: its name and spec; None for other files."""
    recipe = path.expanduser().absolute().parent.parent / "recipe.json"
    if path.absolute().parent.name != "checkpoints" or not recipe.is_file():
        return None
    try:
        model = json.loads(recipe.read_text(encoding="utf-8"))["recipe"]["model"]
        return {"name": str(model["name"]), "spec": dict(model["spec"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{recipe} is damaged ({error}); mend it, or copy the weights out of the run and write "
            "NETWORK@FILE"
        ) from error
