"""What rows are judged by: counts on the meta device, and figures of the cards."""

import torch
from torch import nn

from fathom.ledger.evidence import (
    cited,
    conv_weights,
    meta_network,
    network_macs,
    network_params,
    params,
    seeded,
    top1_figures,
    top5_errors,
)
from fathom.models.cards import Published
from fathom.models.registry import build_model, model_card


def test_counts_are_those_of_the_cards() -> None:
    for name in ("googlenet_2014", "mobilenet_v2", "cifar_resnet20"):
        card = model_card(name)
        assert network_params(name) == card.params
        assert network_macs(name) == card.macs


def test_counts_follow_the_settings() -> None:
    assert network_params("alexnet_2012", groups=1) > network_params("alexnet_2012")


def test_counting_needs_no_memory() -> None:
    assert {p.device.type for p in meta_network("vgg16").parameters()} == {"meta"}


def test_conv_weights_leave_biases_norms_and_linear_layers_out() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 5), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    assert conv_weights(model) == 3 * 4 * 25
    assert params(model) == 3 * 4 * 25 + 4 + 8 + 4 * 2 + 2


def test_seeded_weights_repeat_and_leave_the_generator_as_it_was() -> None:
    state = torch.random.get_rng_state()
    weights = []
    for seed in (0, 0, 1):
        with seeded(seed):
            weights.append(next(build_model("cifar_resnet20").parameters()))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_figures_are_percent() -> None:
    top1 = {f.source: value for value, f in top1_figures("resnet50")}
    assert top1["arXiv:1512.03385, Table 3"] == 77.15
    top5 = {f.source: value for value, f in top5_errors("resnet50")}
    assert top5["arXiv:1512.03385, Table 3"] == 6.71


def test_cited_gives_what_agrees_or_else_everything() -> None:
    near = Published(0.744, None, "dense", "a")
    far = Published(0.716, None, "single", "b")
    figures = [(74.4, near), (71.6, far)]
    assert cited(74.4, figures, digits=3) == ("exact", {"dense (a)": 74.4})
    assert cited(72, figures, digits=2) == ("rounded", {"single (b)": 71.6})
    verdict, shown = cited(74.8, figures, digits=3)
    assert verdict == "wrong"
    assert shown == {"dense (a)": 74.4, "single (b)": 71.6}
