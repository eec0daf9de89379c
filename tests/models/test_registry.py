"""Names, cards and building by name."""

import pytest
import torch
import torchvision

import fathom
from fathom.costs import cost
from fathom.errors import UserError
from fathom.models.cards import Published


def test_patterns_select_names_in_order() -> None:
    assert fathom.list_models("cifar_plain*") == [f"cifar_plain{d}" for d in (20, 32, 44, 56)]
    assert len(fathom.list_models()) == len(set(fathom.list_models()))


@pytest.mark.parametrize("name", fathom.list_models())
def test_a_card_declares_what_its_network_costs(name: str) -> None:
    card = fathom.model_card(name)
    with torch.device("meta"):
        auxiliary = {"auxiliary": False} if card.family == "googlenet" else {}
        model = fathom.create_model(name, **auxiliary)  # type: ignore[arg-type]
    found = cost(model, image_size=card.image_size, in_channels=card.in_channels)
    assert (card.params, card.macs, card.flops) == (found.params, found.macs, found.flops)
    assert all(0 < (p.top1 or p.top5 or 0) < 1 and p.protocol and p.source for p in card.published)


def test_the_headline_is_the_figure_that_compares() -> None:
    """One centre crop of the network's own size, not ten crops, larger images or more data."""
    for name, top1 in (("resnet18", 0.69758), ("resnet50", 0.80858), ("convnext_tiny", 0.8252)):
        found = fathom.model_card(name).headline
        assert found is not None
        assert found.top1 == pytest.approx(top1, abs=1e-5)
    assert fathom.model_card("cifar_plain20").headline is None
    for name in ("cifar_resnet20", "convnext_xlarge"):
        card = fathom.model_card(name)
        assert card.comparable is None
        assert card.headline is not None


def torchvision_figures() -> list[tuple[str, Published]]:
    return [
        (name, figure)
        for name in fathom.list_models()
        for figure in fathom.model_card(name).published
        if figure.source.startswith("torchvision ")
    ]


@pytest.mark.parametrize(("name", "figure"), torchvision_figures())
def test_torchvisions_figures_are_those_beside_its_weights(name: str, figure: Published) -> None:
    peer = fathom.model_card(name).torchvision
    weights = torchvision.models.get_model_weights(peer)[figure.source.split()[1]]
    measured, view = weights.meta["_metrics"]["ImageNet-1K"], weights.transforms()
    assert figure.top1 == pytest.approx(measured["acc@1"] / 100, abs=1e-6)
    assert figure.top5 == pytest.approx(measured["acc@5"] / 100, abs=1e-6)
    crop, resize = view.crop_size[0], view.resize_size[0]
    assert figure.protocol == f"ImageNet, centre crop {crop}, short side {resize}"


def test_classes_and_channels_are_free() -> None:
    model = fathom.create_model("cifar_resnet20", num_classes=7, in_channels=1)
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 7)


def test_spec_fields_replace_the_variant() -> None:
    model = fathom.create_model("resnet18", num_classes=3, stem="cifar", widths=[8, 8, 16, 16])
    assert [f.shape[1:] for f in model.features(torch.zeros(1, 3, 32, 32))] == [
        (8, 32, 32),
        (8, 16, 16),
        (16, 8, 8),
        (16, 4, 4),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet5O"}, "did you mean 'resnet50'"),
        ({"name": "resnet18", "steem": "cifar"}, "did you mean 'stem'"),
        ({"name": "resnet18", "stem": "vgg"}, "imagenet, deep, cifar"),
        ({"name": "resnet18", "depths": (2, 2)}, "same number of stages"),
        ({"name": "resnet18", "num_classes": 0}, "at least 1"),
        ({"name": "plain18", "zero_init": True}, "zero_init"),
    ],
)
def test_what_cannot_be_built_is_said(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fathom.create_model(**arguments)  # type: ignore[arg-type]
