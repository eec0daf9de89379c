"""Networks of runs and of weights, and the pictures that they are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import fathom
from fathom.data.views import centre_view
from fathom.errors import UserError
from fathom.features.backbone import find_backbones
from fathom.look.subject import (
    all_images,
    find_class,
    find_stage,
    from_run,
    from_weights,
    judging_images,
    network,
    read_picture,
    some_views,
    untrained,
    view_of,
)
from tests.images import encode, noise, write, write_tree
from tests.look.tiny import NAMES, PREPROCESS, Tiny, classifier


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("look") / "run"
    spec = {"depths": [1, 1, 1], "widths": [4, 4, 4]}
    recipe = fathom.recipe("default", "digits", epochs=1)
    recipe = fathom.Recipe(**{**vars(recipe), "model": type(recipe.model)("cifar_resnet20", spec)})
    list(fathom.train(recipe, out=folder))
    return folder


def test_a_run_brings_its_classes_preprocessing_and_images(run: Path) -> None:
    found = from_run(run, device="cpu")
    assert found.class_names == fathom.load(run).class_names
    assert found.runtime.precision == "float32"
    images = judging_images(found)
    names, views = some_views([images], found.preprocess, most=7)
    assert views.shape == (7, 1, 8, 8)
    assert set(names) <= set(images.keys)
    again = some_views([images], found.preprocess, most=7)
    assert again[0] == names
    assert torch.equal(again[1], views)


def test_weights_from_a_file_number_their_classes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = fathom.create_model("cifar_resnet20", num_classes=7)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    found = from_weights(find_backbones(f"cifar_resnet20@{tmp_path / 'w.safetensors'}")[0])
    assert found.class_names == tuple(f"class {n}" for n in range(7))
    assert found.preprocess.image_size == 32
    with pytest.raises(UserError, match="comes from no run"):
        judging_images(found)


def test_an_untrained_network_is_the_same_every_time() -> None:
    state = torch.get_rng_state()
    first, second = (untrained("cifar_resnet20").model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), state)


def test_classes_go_by_name_before_number() -> None:
    assert find_class(NAMES, "dog") == 1
    assert find_class(NAMES, "3") == 3
    assert find_class(NAMES, "12") == 2
    with pytest.raises(UserError, match="there are 5, numbered from 0"):
        find_class(NAMES, "5")
    with pytest.raises(UserError, match="did you mean 'dog'"):
        find_class(NAMES, "dogg")
    with pytest.raises(UserError, match="unknown class"):
        find_class(NAMES, "²")


def test_stages_count_from_one() -> None:
    model = network(classifier())
    assert (find_stage(model, 1), find_stage(model, 2), find_stage(model, None)) == (0, 1, 1)
    for number in (0, 3, -1):
        with pytest.raises(UserError, match="1 to 2"):
            find_stage(model, number)


def test_only_networks_with_stages_are_looked_into() -> None:
    other = classifier()
    other.model = torch.nn.Linear(1, 1)
    with pytest.raises(UserError, match="Linear has no stages"):
        network(other)
    assert isinstance(network(classifier()), Tiny)


def test_views_are_those_of_the_preprocessing() -> None:
    pixels = noise(0, 40, 60)
    view = view_of(pixels, PREPROCESS)
    assert torch.equal(view, centre_view(pixels, 16, 16, "bilinear"))
    gray = view_of(noise(0, 40, 60, 1), PREPROCESS)
    assert torch.equal(gray[0], gray[2])


def test_pictures_are_read_by_the_guarded_reader(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    write(good, encode(noise(1)))
    write(bad, b"nothing")
    assert np.array_equal(read_picture(good), noise(1))
    with pytest.raises(UserError, match="cannot be used: not an image"):
        read_picture(bad)
    with pytest.raises(UserError, match="no such picture"):
        read_picture(tmp_path)


def test_folders_with_classes_and_without(tmp_path: Path) -> None:
    write_tree(tmp_path / "pets", {"cats": 2, "dogs": 1})
    assert sum(map(len, all_images(str(tmp_path / "pets")))) == 3
    loose = tmp_path / "loose"
    loose.mkdir()
    with pytest.raises(UserError, match="no pictures in"):
        all_images(str(loose))
    write(loose / "a.png", encode(noise(1)))
    write(loose / "b.png", b"nothing")
    write(loose / "c.txt", b"words")
    (images,) = all_images(str(loose))
    assert images.keys == ("a.png", "b.png")
    names, views = some_views([images], PREPROCESS, most=9)
    assert names == ("a.png",)
    assert views.shape == (1, 3, 16, 16)
    (loose / "a.png").unlink()
    with pytest.raises(UserError, match=r"none of the images can be used.*not an image"):
        some_views(all_images(str(loose)), PREPROCESS, most=9)
