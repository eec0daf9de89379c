"""The page says the numbers that the layer below computes, and opens runs of the folder alone."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from dash import html
from PIL import Image

import fathom
from fathom.errors import UserError
from fathom.explorer import opened as store_of_networks
from fathom.explorer.opened import networks, opened, searched, view
from fathom.explorer.page import Page
from fathom.explorer.pages.look import STAGES, WAYS, page
from fathom.explorer.pictures import Pictures
from fathom.look.attend import grad_cam
from fathom.look.maps import first_filters, sees_light
from fathom.look.occlude import occlude
from fathom.look.project import project
from tests.explorer.reading import components, figure_of, text_of
from tests.images import encode, noise

RUN = "run:small <b>"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("look") / "runs"
    spec = {"depths": [1, 1, 1], "widths": [4, 4, 8]}
    recipe = fathom.recipe("default", "digits", epochs=2)
    recipe = fathom.Recipe(**{**vars(recipe), "model": type(recipe.model)("cifar_resnet20", spec)})
    list(fathom.train(recipe, out=folder / "small <b>"))
    return folder


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    """With one of one's own, of noise."""
    store = Pictures()
    text = base64.b64encode(encode(noise(3, 40, 40))).decode()
    store.put(f"data:image/png;base64,{text}", "noise.png")
    return store


@pytest.fixture
def look(runs: Path, pictures: Pictures) -> Page:
    return page(runs, pictures)


def own(store: Pictures) -> str:
    return next(key for key in store.names() if key.startswith("own-"))


def drawn(found: Page, store: Pictures, **changes: Any) -> Any:
    values = found.read("") | {"network": RUN, "picture": own(store)} | changes
    card = found.cards[1]
    return card.draw(**{name: values[name] for name in card.uses})


def shown(found: Any) -> list[Image.Image]:
    files = [vars(part)["src"] for part in components(found) if isinstance(part, html.Img)]
    data = [base64.b64decode(text.partition(",")[2]) for text in files]
    return [Image.open(io.BytesIO(one)) for one in data]


def test_runs_can_be_chosen_and_nothing_beside_the_folder(look: Page, runs: Path) -> None:
    assert RUN in networks(runs)
    assert look.read("?network=run:small <b>")["network"] == RUN
    for other in ("run:..", "run:", "run:/etc", "lite9", "x" * 999):
        assert look.read(f"?network={other}")["network"] == look.control("network").default
    with pytest.raises(UserError, match="no run is called"):
        opened(runs, "run:../runs/small <b>")


def test_addresses_hold_only_what_the_controls_can_have(look: Page) -> None:
    defaults = look.read("")
    for search in ("?channel=-1", "?channel=1.5", "?channel=123456", "?stage=0", "?way=x",
                   f"?target={'y' * 81}"):  # fmt: skip
        assert look.read(search) == defaults
    values = defaults | {"channel": 12, "stage": "2", "way": "maps", "target": "bee & cat"}
    assert look.read(look.write(values)) == values


def test_predictions_are_those_of_the_run(look: Page, runs: Path, pictures: Pictures) -> None:
    said = text_of(look.cards[0].draw(network=RUN, picture=own(pictures)))
    pixels = pictures.get(own(pictures))
    for name, chance in fathom.load(runs / "small <b>").predict(pixels, top=5)[0].top:
        assert name in said
        assert f"{100 * chance:.1f} %" in said
    assert said.strip().startswith("The run small <b> takes it for")


def test_grad_cam_says_what_it_found(look: Page, runs: Path, pictures: Pictures) -> None:
    found = opened(runs, RUN)
    images = found.classifier.preprocess.normalise(view(found, pictures, own(pictures))[None])
    silent = 0
    for target in range(10):
        attention = grad_cam(found.model, images, target=target, stage=1)
        said = drawn(look, pictures, way="cam", stage="2", target=str(target))
        silent += attention.silent
        name = found.classifier.class_names[target]
        if attention.silent:
            assert f"Nothing in stage 2 speaks for {name}" in text_of(said)
        else:
            height, width = attention.heat.shape
            share = f"{100 * attention.half:.1f} % of its map of {height} x {width} places"
            assert share in text_of(said)
            assert len(shown(said)) == 2
    assert silent < 10


def test_occlusion_shows_the_probabilities(look: Page, runs: Path, pictures: Pictures) -> None:
    said = drawn(look, pictures, way="occlusion", target="4")
    found = opened(runs, RUN)
    side = found.classifier.preprocess.image_size
    expected = occlude(
        found.classifier, view(found, pictures, own(pictures)), target=4, positions=20
    )
    z = figure_of(said, "look-occlusion").data[0].z
    torch.testing.assert_close(torch.tensor(z).float() / 100, expected.probabilities)
    assert len(z) == side - side // 4 + 1, "every place of a small picture"
    assert f"{100 * expected.whole:.1f} % on the whole picture" in text_of(said)
    assert f"At {expected.changed} of {expected.tops.numel()} places" in text_of(said)


def test_filters_are_counted(look: Page, runs: Path, pictures: Pictures) -> None:
    said = text_of(drawn(look, pictures, way="filters"))
    count, channels, height, width = first_filters(opened(runs, RUN).model).shape
    assert f"{count} filters of {height} x {width} pixels" in said
    assert channels == 1
    assert "see colour" not in said, "digits are grey"


def test_projection_and_maps_follow_the_channel(look: Page, runs: Path, pictures: Pictures) -> None:
    found = opened(runs, RUN)
    images = found.classifier.preprocess.normalise(view(found, pictures, own(pictures))[None])
    strongest = project(found.model, images, stage=0)
    said = text_of(drawn(look, pictures, way="projection", stage="1"))
    assert f"In stage 1, channel {strongest.channel} the strongest" in said
    assert f"is {strongest.value:.3g}, in row {strongest.place[0]}" in said
    assert "No max pooling" in said
    maps = drawn(look, pictures, way="maps", stage="1", channel=strongest.channel)
    assert f"stage 1, channel {strongest.channel}: highest, {strongest.value:.3g}" in text_of(maps)
    assert len(shown(maps)) == 4 + 4 + 8 + 1
    assert len(shown(drawn(look, pictures, way="maps"))) == 4 + 4 + 8


def test_patches_are_searched_among_the_images_of_the_run(
    look: Page, runs: Path, pictures: Pictures
) -> None:
    said = drawn(look, pictures, way="patches", stage="1", channel=0)
    views, whose = searched(opened(runs, RUN), pictures, tuple(pictures.names()))
    assert views.shape == (256, 1, *views.shape[2:])
    assert f"Of 256 {whose}" in text_of(said)
    assert len(shown(said)) == 9


@pytest.mark.parametrize("way", WAYS)
def test_every_way_draws_at_every_stage_or_says_why_not(
    look: Page, pictures: Pictures, way: str
) -> None:
    for stage in STAGES:
        if stage == "last" or int(stage) <= 3:
            found = drawn(look, pictures, way=way, stage=stage)
            assert shown(found) or "Nothing in stage" in text_of(found)
        else:
            with pytest.raises(UserError, match=f"stage {stage} does not exist.*1 to 3"):
                drawn(look, pictures, way=way, stage=stage)


def test_what_does_not_exist_is_said_in_words(look: Page, pictures: Pictures) -> None:
    with pytest.raises(UserError, match="unknown class 'cow'"):
        drawn(look, pictures, target="cow")
    for way in ("maps", "projection", "patches"):
        with pytest.raises(UserError, match="channel 99999 does not exist"):
            drawn(look, pictures, way=way, channel=99999)


def test_without_runs_and_weights_an_untrained_network_is_shown_and_said(
    tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_of_networks, "_installed", lambda key: False)
    monkeypatch.setattr(store_of_networks, "_UNTRAINED", "cifar_resnet20")
    found = page(tmp_path / "none", pictures)
    assert list(networks(tmp_path / "none")) == ["untrained"]
    said = found.cards[0].draw(network="untrained", picture=own(pictures))
    assert "random weights" in text_of(said)
    values = found.read("") | {"network": "untrained", "picture": own(pictures)}
    for way in ("filters", "patches"):
        card = found.cards[1]
        drawn_way = card.draw(**{name: (values | {"way": way})[name] for name in card.uses})
        assert shown(drawn_way)
        if way == "filters":
            filters = first_filters(opened(tmp_path / "none", "untrained").model)
            light = int((sees_light(filters) >= 0.5).sum())
            told = text_of(drawn_way)
            assert f"{light} of them are mostly alike" in told
            assert f"{len(filters) - light} see colour" in told
