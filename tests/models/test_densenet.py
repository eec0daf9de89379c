"""The DenseNet family against the paper's tables, and recomputation against keeping."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

import fathom
from fathom.errors import UserError
from fathom.models.base import ImageClassifier
from fathom.models.densenet import DenseBlock, Entry, Spec
from fathom.weights.load import load_weights, reference_state_dict

IMAGENET = {
    "densenet121": (6, 12, 24, 16),
    "densenet161": (6, 12, 36, 24),
    "densenet169": (6, 12, 32, 32),
    "densenet201": (6, 12, 48, 32),
}
SMALL: dict[str, Any] = {"growth": 4, "depths": (3, 4), "stem": "cifar", "stem_width": 8}


def small(**settings: Any) -> ImageClassifier:
    """A DenseNet-BC of two blocks, for speed."""
    return fathom.create_model("densenet121", num_classes=5, **{**SMALL, **settings})


@pytest.mark.parametrize(("name", "depths"), IMAGENET.items())
def test_imagenet_networks_are_table_1s(name: str, depths: tuple[int, ...]) -> None:
    """arXiv:1608.06993, Table 1: blocks of 56, 28, 14 and 7 pixels; the number in a name counts the
    layers with weights."""
    with torch.device("meta"):
        model = fathom.create_model(name)
        maps = model.features(torch.zeros(1, 3, 224, 224))
    assert model.spec.depths == depths  # type: ignore[union-attr]
    weighted = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == int(name.removeprefix("densenet"))
    assert [m.shape[2] for m in maps] == [56, 28, 14, 7]


@pytest.mark.parametrize("name", IMAGENET)
def test_multiply_adds_are_torchvisions(name: str) -> None:
    """torchvision gives billions of multiply-adds beside each weight."""
    declared = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta["_ops"]
    assert fathom.model_card(name).macs / 1e9 == pytest.approx(declared, abs=0.001)


def test_the_cifar_network_is_table_2s() -> None:
    """arXiv:1608.06993, Section 3 and Table 2: L = 40, k = 12, three blocks of equal depth, 16
    channels first, maps of 32, 16 and 8 pixels, 1.0 M parameters."""
    with torch.device("meta"):
        model = fathom.create_model("cifar_densenet40_k12")
        maps = model.features(torch.zeros(1, 3, 32, 32))
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) + 1 == 40
    assert [tuple(m.shape[1:]) for m in maps] == [(160, 32, 32), (304, 16, 16), (448, 8, 8)]
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(1.0, abs=0.05)


def test_a_block_hands_on_its_input_and_what_every_layer_saw() -> None:
    torch.manual_seed(0)
    block = DenseBlock(Spec(**SMALL), 8, 3).eval()
    x = torch.randn(2, 8, 6, 6)
    seen = x
    for layer in block:
        seen = torch.cat((seen, layer(seen)), 1)
    assert seen.shape[1] == 8 + 3 * 4
    torch.testing.assert_close(block(x), seen)


def test_bottlenecks_have_four_times_the_growth() -> None:
    """arXiv:1608.06993, Section 3, "Bottleneck layers"."""
    shapes = [m.weight.shape for m in small().stages[0].modules() if isinstance(m, nn.Conv2d)]
    assert shapes[:2] == [(16, 8, 1, 1), (4, 16, 3, 3)]
    plain = small(bottleneck=False).stages[0].modules()
    assert next(m.weight.shape for m in plain if isinstance(m, nn.Conv2d)) == (4, 8, 3, 3)


@pytest.mark.parametrize(("compression", "channels"), [(1.0, 20), (0.5, 10), (0.33, 6)])
def test_a_transition_keeps_the_floor_of_its_share(compression: float, channels: int) -> None:
    """arXiv:1608.06993, Section 3, "Compression"; it halves the resolution."""
    model = small(compression=compression)
    transition = model.stages[1][0]  # type: ignore[index]
    assert transition(torch.zeros(2, 20, 8, 8)).shape == (2, channels, 4, 4)


def test_dropout_follows_every_convolution_but_the_first() -> None:
    """arXiv:1608.06993, Section 4.2."""
    model = small(dropout=0.2)
    kinds = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Dropout)]
    assert isinstance(kinds[0], nn.Conv2d)
    assert [type(m) for m in kinds[1:]] == [nn.Conv2d, nn.Dropout] * (len(kinds) // 2)
    assert all(m.p == 0.2 for m in kinds if isinstance(m, nn.Dropout))
    assert not [m for m in small().modules() if isinstance(m, nn.Dropout)]


def test_dropout_changes_no_names_elsewhere() -> None:
    theirs = torchvision.models.densenet121(num_classes=10)
    model = fathom.create_model("densenet121", num_classes=10, dropout=0.2)
    load_weights(model, theirs.state_dict())
    theirs.load_state_dict(reference_state_dict(model), strict=True)


def test_torchvisions_files_have_older_names() -> None:
    """torchvision publishes `denselayer1.norm.1.weight` for its own `denselayer1.norm1.weight`."""
    state = torchvision.models.densenet121(num_classes=10).state_dict()
    older = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): value
        for name, value in state.items()
        if "num_batches_tracked" not in name
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in older
    model = fathom.create_model("densenet121", num_classes=10)
    assert load_weights(model, older).layout == "torchvision's files"
    for name, value in reference_state_dict(model).items():
        if "num_batches_tracked" not in name:
            assert torch.equal(value, state[name]), name
    assert not fathom.create_model("cifar_densenet40_k12").key_maps()


def test_the_cifar_stem_is_one_convolution() -> None:
    """arXiv:1608.06993, Section 3, "Implementation Details": no norm, no pooling."""
    model = fathom.create_model("densenet121", num_classes=3, stem="cifar")
    assert [type(m) for m in model.stem.children()] == [nn.Conv2d]
    assert model.stem(torch.zeros(1, 3, 9, 9)).shape == (1, 64, 9, 9)
    assert model.min_size == 8


def step(model: ImageClassifier, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits of a training step, and every gradient."""
    logits = model.train()(images)
    logits.square().mean().backward()
    return logits.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("bottleneck", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_recomputing_changes_nothing(bottleneck: bool, dropout: float) -> None:
    """The same logits, gradients and running statistics, each batch counted once."""
    torch.manual_seed(0)
    keeps = small(bottleneck=bottleneck, dropout=dropout)
    recomputes = small(bottleneck=bottleneck, dropout=dropout, recompute=True)
    recomputes.load_state_dict(keeps.state_dict())
    images = torch.randn(4, 3, 8, 8)
    for _ in range(2):
        torch.manual_seed(1)
        expected, gradients = step(keeps, images)
        torch.manual_seed(1)
        found, recomputed = step(recomputes, images)
        assert torch.equal(found, expected)
        assert gradients.keys() == recomputed.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(recomputed[name], gradient, rtol=1e-6, atol=1e-6)
    buffers = dict(recomputes.named_buffers())
    for name, buffer in keeps.named_buffers():
        assert torch.equal(buffers[name], buffer), name
    counts = [b for n, b in buffers.items() if n.endswith("num_batches_tracked")]
    assert {int(count) for count in counts} == {2}


def test_a_graph_that_is_kept_can_be_recomputed_twice() -> None:
    torch.manual_seed(0)
    model = small(recompute=True).train()
    loss = model(torch.randn(4, 3, 8, 8)).square().mean()
    before = {n: b.clone() for n, b in model.named_buffers()}
    loss.backward(retain_graph=True)
    once = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    loss.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, 2 * once[name])
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())


def kept_bytes(model: ImageClassifier, images: Tensor) -> int:
    """Memory that a training step holds for its backward pass."""
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(images)
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept}
    return sum(storages.values())


def test_recomputing_keeps_a_fraction_of_the_memory() -> None:
    """arXiv:1707.06990, Section 3: linear in the depth of a block, not quadratic."""
    images = torch.randn(2, 3, 16, 16)
    kept = [
        kept_bytes(small(depths=(depth,), recompute=recompute), images)
        for depth in (16, 32)
        for recompute in (False, True)
    ]
    plain, recomputed = kept[0::2], kept[1::2]
    assert recomputed[0] < 0.6 * plain[0]
    assert plain[1] > 2.5 * plain[0]
    assert recomputed[1] < 2.1 * recomputed[0]


def test_recomputing_is_for_training_only(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Entry] = []
    computed = Entry._compute

    def compute(self: Entry, *maps: Tensor) -> Tensor:
        calls.append(self)
        return computed(self, *maps)

    monkeypatch.setattr(Entry, "_compute", compute)
    model = small(recompute=True).eval()
    images = torch.randn(2, 3, 8, 8)
    layers = sum(SMALL["depths"])
    model(images).sum().backward()
    assert len(calls) == layers
    calls.clear()
    model.train()(images).sum().backward()
    assert len(calls) == 2 * layers


@pytest.mark.parametrize("bottleneck", [True, False])
def test_recomputing_repeats_no_convolution(bottleneck: bool) -> None:
    ran = []
    model = small(recompute=True, bottleneck=bottleneck).train()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda conv, _, output: ran.append(conv))
    model(torch.randn(2, 3, 8, 8)).sum().backward()
    assert len(ran) == len(set(ran))


def test_a_recomputing_network_compiles_whole() -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = small(recompute=True).train()
    copied = copy.deepcopy(model)
    images = torch.randn(2, 3, 8, 8)
    compiled = torch.compile(copied, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), model(images))


def test_convolutions_start_with_kaimings_deviation() -> None:
    """He et al. 2015, arXiv:1502.01852: std = sqrt(2 / fan), here fan-in."""
    torch.manual_seed(0)
    model = fathom.create_model("densenet121")
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 30_000:
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.03)
    assert not model.classifiers()[0].bias.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stem": "deep"}, "imagenet, cifar"),
        ({"depths": ()}, "at least one block"),
        ({"depths": (6, 0)}, "at least one layer"),
        ({"growth": 0}, "at least 1"),
        ({"stem_width": 0}, "at least 1"),
        ({"compression": 0.0}, "above 0"),
        ({"compression": 1.5}, "at most 1"),
        ({"compression": 0.01}, "leave a channel"),
        ({"dropout": 1.0}, "below 1"),
    ],
)
def test_what_cannot_be_built_is_said(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fathom.create_model("densenet121", **settings)
