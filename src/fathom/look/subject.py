"""The network that is looked into, and the pictures that it is shown."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from fathom.classifier import Classifier, load
from fathom.data.catalog import ImageList, find_images, open_catalog
from fathom.data.decode import BadImageError, Pixels, decode, from_pillow
from fathom.data.settings import DataSettings
from fathom.data.sources import Folder
from fathom.data.split import split_catalog
from fathom.data.views import centre_view
from fathom.errors import UserError, require, unknown
from fathom.features.backbone import Backbone
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model, model_card
from fathom.preprocess import Preprocess
from fathom.runtime import choose_runtime, derive_seed
from fathom.weights.sources import IMAGENET_MEAN, IMAGENET_STD

_IMAGENET = 1000  # classes


def from_run(folder: Path, *, device: str = "auto") -> Classifier:
    """The network of a run, with its classes and preprocessing, computing in float32."""
    found = load(folder, device=device)
    runtime = choose_runtime(device, "float32")
    return Classifier(found.model, found.class_names, found.preprocess, runtime, found.recipe)


def from_weights(backbone: Backbone, *, device: str = "auto") -> Classifier:
    """Pretrained weights as a classifier, of ImageNet's classes where they know a thousand.

    Weights from a file do not say what their classes are called, and number them.
    """
    model = backbone.build()
    assert model.preprocess is not None
    public = not Path(backbone.weights).is_absolute()
    names = _names(model.num_classes, imagenet=public and model.num_classes == _IMAGENET)
    runtime = choose_runtime(device, "float32")
    return Classifier(model.to(runtime.device), names, model.preprocess, runtime)


def untrained(name: str) -> Classifier:
    """A network of the zoo as it is before training, the same every time, on the CPU."""
    card = model_card(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("look", name))
        model = build_model(name)
    size = card.image_size
    view = Preprocess(size, round(size * 256 / 224), 3, IMAGENET_MEAN, IMAGENET_STD)
    runtime = choose_runtime("cpu", "float32")
    return Classifier(model, _names(model.num_classes, imagenet=False), view, runtime)


def _names(count: int, *, imagenet: bool) -> Sequence[str]:
    if not imagenet:
        return [f"class {number}" for number in range(count)]
    from torchvision.models import ResNet18_Weights

    names: list[str] = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    return names


def network(classifier: Classifier) -> ImageClassifier:
    """The network itself. Raises UserError for one without stem, stages and head."""
    model = classifier.model
    if not isinstance(model, ImageClassifier):
        raise UserError(f"{type(model).__name__} has no stages to look into; take one of the zoo")
    return model


def find_class(names: Sequence[str], text: str) -> int:
    """A class by its name, or by its number from 0 where no class is called so."""
    if text in names:
        return names.index(text)
    if text.isascii() and text.isdigit():
        require(
            len(text) < 10 and int(text) < len(names),
            f"class {text[:20]} does not exist; there are {len(names)}, numbered from 0",
        )
        return int(text)
    advice = f"A number from 0 to {len(names) - 1} does, too."
    raise unknown("class", text[:80], names, advice)


def find_stage(model: ImageClassifier, number: int | None) -> int:
    """The place of a stage counted from 1, the last for None. Raises UserError beyond them."""
    count = len(model.stages)
    if number is None:
        return count - 1
    require(1 <= number <= count, f"stage {number} does not exist; this network has 1 to {count}")
    return number - 1


def read_picture(path: Path) -> Pixels:
    """A file -> (H, W, 3) uint8 pixels. Raises UserError with the reason where it cannot be."""
    require(path.is_file(), f"no such picture: {path}")
    try:
        return decode(path.read_bytes(), path.name, 3)
    except (BadImageError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} cannot be used: {reason}") from error


def view_of(pixels: Pixels, preprocess: Preprocess) -> Tensor:
    """(H, W, 1 or 3) uint8 pixels -> the (C, S, S) uint8 view that the network is shown."""
    if pixels.shape[2] != preprocess.channels:
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        pixels = from_pillow(image, preprocess.channels)
    view = preprocess
    return centre_view(pixels, view.image_size, view.resize, view.interpolation)


def judging_images(classifier: Classifier) -> ImageList:
    """The images that a run is judged by. Raises UserError where its data are gone."""
    recipe = classifier.recipe
    if recipe is None:
        raise UserError("this network comes from no run, and has no images of its own")
    choosing = recipe.select == "best"
    chosen = split_catalog(open_catalog(recipe.data), recipe.data, choosing=choosing)
    return chosen.catalog.splits[chosen.judge]


def all_images(source: str) -> tuple[ImageList, ...]:
    """The images of a folder, an archive or a built-in set, a list for each of its splits.

    A folder of pictures without folders is taken as it is. Raises UserError where there are none.
    """
    path = Path(source).expanduser()
    if path.is_dir() and not any(inside.is_dir() for inside in path.iterdir()):
        folder = Folder(path)
        known = Image.registered_extensions()
        files = folder.listing().files
        keys = tuple(f for f in files if Path(f).suffix.lower() in known and f[0] != ".")
        require(bool(keys), f"no pictures in {source}; name a folder of them")
        return (ImageList(folder, keys, (0,) * len(keys)),)
    return tuple(find_images(DataSettings(source=source)).splits.values())


def some_views(
    images: Sequence[ImageList], preprocess: Preprocess, *, most: int
) -> tuple[tuple[str, ...], Tensor]:
    """Names and (N, C, S, S) uint8 views of at most so many images, the same every time.

    Files that cannot be read are left out. Raises UserError where none can.
    """
    keys = [(part, place) for part in images for place in range(len(part))]
    chosen = random.Random(derive_seed("look")).sample(keys, min(most, len(keys)))
    names, views, reason = [], [], "there are none"
    for part, place in chosen:
        key = part.keys[place]
        try:
            views.append(view_of(part.source.pixels(key, preprocess.channels), preprocess))
            names.append(key)
        except BadImageError as error:
            reason = f"{key}: {error}"
    require(bool(views), f"none of the images can be used ({reason}); name others")
    return tuple(names), torch.stack(views)
