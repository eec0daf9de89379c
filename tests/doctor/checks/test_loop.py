from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fathom
from fathom.doctor.checks import loop
from fathom.doctor.observed import LayerFacts, Observed, Passes

from .made import Tiny, falls, look, made, stays, train


def frozen(*places: int, count: int = 9) -> Observed:
    seen = made(falls, count=count)
    convs = [layer for layer in seen.structure.layers if layer.kind == "conv"]
    for place in places:
        convs[place].trainable, convs[place].frozen = False, True
    return seen


def bounded(*, of_logits: int, of_shares: int, looks: int = 4) -> Observed:
    passes = Passes(
        looks=4,
        probabilities=looks,
        loss_of_logits=of_logits,
        loss_of_probabilities=of_shares,
    )
    return replace(made(falls), passes=passes)


def unheld() -> Observed:
    seen = made(falls)
    seen.structure.unoptimised_params, seen.structure.params = 10, 100
    return seen


def cut_off(*looks: list[str]) -> Observed:
    """Layers that got no gradient at each of these looks, all of which had judges."""
    found = [
        look(step, 8, cut_off=names, modes={"eval": (1.0, 0.5)})
        for step, names in enumerate(looks, 1)
    ]
    return made(falls, looks=found)


def without_gradients() -> Observed:
    seen = made(stays)
    for one in seen.looks:
        one.moving = 0
    return seen


SICK = {
    "steps-without-gradients": without_gradients(),
    "loss-below-zero": made(lambda step: 2.0 - 0.1 * step),
    "gradients-not-cleared": replace(made(falls), passes=Passes(not_cleared=10)),
    "parameters-not-optimised": unheld(),
    "layer-frozen": frozen(3, 4, 5),
    "softmax-before-loss": bounded(of_logits=2, of_shares=0),
}


@pytest.mark.parametrize("cause", loop.CHECKS)
def test_a_sick_run_is_named_and_a_healthy_one_is_not(cause: str) -> None:
    finding = loop.CHECKS[cause](SICK[cause])
    assert finding is not None
    assert finding.cause == cause
    assert finding.since is not None
    assert all(evidence.speaks for evidence in finding.evidence)
    assert loop.CHECKS[cause](made(falls)) is None
    assert loop.CHECKS[cause](Observed()) is None


@pytest.mark.parametrize(
    ("cause", "seen"),
    [
        ("gradients-not-cleared", replace(made(falls), passes=Passes(not_cleared=1, cleared=9))),
        ("layer-frozen", frozen(0, 1, 2, 3)),  # a frozen beginning
        ("layer-frozen", frozen(0, 1, 2, 3, 4, 5, 6, 7)),  # all but the head
        ("layer-frozen", frozen(1, 2, 4, 5, 7, 8)),  # adapters between frozen layers
        ("softmax-before-loss", bounded(of_logits=0, of_shares=3)),
        ("softmax-before-loss", bounded(of_logits=1, of_shares=3)),
        ("softmax-before-loss", bounded(of_logits=0, of_shares=0)),  # the loss is another one
        ("softmax-before-loss", bounded(of_logits=1, of_shares=0, looks=1)),
        ("softmax-before-loss", bounded(of_logits=1, of_shares=0, looks=3)),  # once it was not
        ("layer-frozen", cut_off(["conv1"])),  # one look is no certainty
        ("layer-frozen", cut_off(["conv1"], [], ["conv1"])),  # it learns now and then
    ],
)
def test_look_alikes_pass(cause: str, seen: Observed) -> None:
    assert loop.CHECKS[cause](seen) is None


def test_frozen_norms_are_no_frozen_layers() -> None:
    seen = made(falls)
    for layer in seen.structure.layers:
        layer.trainable = layer.kind != "norm"
    seen.structure.layers.append(LayerFacts("act", "act", "ReLU"))
    assert loop.layer_frozen(seen) is None


def found(seen: Observed) -> list[str]:
    return [cause for cause, check in loop.CHECKS.items() if check(seen) is not None]


class Ended(nn.Module):
    """A network with something behind its logits."""

    def __init__(self, end: nn.Module) -> None:
        super().__init__()
        self.inner, self.end = Tiny(), end

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.end(self.inner(images))
        return out


def test_real_runs() -> None:
    torch.manual_seed(0)
    assert found(train(Tiny(), steps=20)) == []
    assert found(train(Ended(nn.Softmax(1)), steps=20)) == ["softmax-before-loss"]
    assert found(train(Ended(nn.Sigmoid()), steps=20)) == ["softmax-before-loss"]
    middle = Tiny()
    middle.features[3].requires_grad_(requires_grad=False)
    seen = train(middle, steps=10)
    assert found(seen) == ["layer-frozen"]
    finding = loop.layer_frozen(seen)
    assert finding is not None
    assert finding.where == ("features.3",)


def test_the_right_loss_of_probabilities_is_fine() -> None:
    torch.manual_seed(0)
    assert found(train(
        Ended(nn.Softmax(1)),
        steps=20,
        loss_of=lambda shares, targets: nn.functional.nll_loss(shares.log(), targets),
    )) == []  # fmt: skip


def test_one_gradient_at_one_look_is_a_gradient() -> None:
    seen = without_gradients()
    seen.looks[2].moving = 1
    assert loop.steps_without_gradients(seen) is None


def test_a_loss_without_targets_may_be_below_zero() -> None:
    seen = made(lambda step: -1.0)
    seen.curve.top1 = [None] * len(seen.curve.step)
    assert loop.loss_below_zero(seen) is None


def test_a_step_before_the_backward_pass_is_named() -> None:
    torch.manual_seed(0)
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = fathom.watch(model, optimizer, every=1)
    images, targets = torch.randn(32, 1, 8, 8), torch.randint(0, 10, (32,))
    for _ in range(4):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), targets)
        optimizer.step()
        loss.backward()  # type: ignore[no-untyped-call]
        watch.step(loss, targets)
    assert [f.cause for f in watch.verdict().findings] == ["steps-without-gradients"]


def test_layers_that_are_cut_off_are_named_from_the_second_look_on() -> None:
    seen = cut_off(["conv1", "conv2"], ["conv1", "conv2"], ["conv1"])
    finding = loop.layer_frozen(seen)
    assert finding is not None
    assert (finding.where, finding.since) == (("conv1",), 2)
    assert all(evidence.speaks for evidence in finding.evidence)
    frozen_too = replace(seen, structure=frozen(1, 3).structure)
    finding = loop.layer_frozen(frozen_too)
    assert finding is not None
    assert finding.where == ("conv1", "conv3"), "conv1 does not ask, which is the other fault"


def test_looks_that_a_layer_had_no_part_in_say_nothing_of_it() -> None:
    seen = cut_off(["conv1"], ["conv1"], [], ["conv1"])
    assert loop.layer_frozen(seen) is None
    del seen.looks[2].signals["conv1"]
    assert loop.layer_frozen(seen) is not None
    unheld = replace(seen.structure.layers[2], optimised=False)
    assert unheld.name == "conv1"
    seen.structure.layers[2] = unheld
    assert loop.layer_frozen(seen) is None, "it is missing from the optimizer"


class Parts(nn.Module):
    """A network whose forward pass is told from outside."""

    def __init__(self, way: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.block, self.side = Tiny().features[:3], nn.Conv2d(8, 8, 3, padding=1), None
        self.aux, self.head, self.way = nn.Linear(8, 10), nn.Linear(8, 10), way

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.way(self, images).relu().mean((2, 3)))
        return logits


def detached(model: Any, images: Tensor) -> Tensor:
    return model.block(model.stem(images)).detach()  # type: ignore[no-any-return]


def without_grad(model: Any, images: Tensor) -> Tensor:
    with torch.no_grad():
        x = model.stem(images)
    return model.block(x)  # type: ignore[no-any-return]


def branch_detached(model: Any, images: Tensor) -> Tensor:
    x = model.stem(images)
    return x + model.block(x).detach()  # type: ignore[no-any-return]


def healthy(model: Any, images: Tensor) -> Tensor:
    return model.block(model.stem(images))  # type: ignore[no-any-return]


def idle_aux(model: Any, images: Tensor) -> Tensor:
    """A head whose logits nobody uses, and in evaluation nobody asks for."""
    x = model.stem(images)
    if model.training:
        model.aux(x.mean((2, 3)))
    return model.block(x)  # type: ignore[no-any-return]


def idle_everywhere(model: Any, images: Tensor) -> Tensor:
    x = model.stem(images)
    model.aux(x.mean((2, 3)))
    return model.block(x)  # type: ignore[no-any-return]


def skipped(model: Any, images: Tensor) -> Tensor:
    """Stochastic depth by leaving the block out; it is always there in evaluation."""
    x = model.stem(images)
    if model.training and torch.rand(()) < 0.9:
        return x  # type: ignore[no-any-return]
    return x + model.block(x)  # type: ignore[no-any-return]


def zeroed(model: Any, images: Tensor) -> Tensor:
    """A dropped branch, and every dead one, has gradients of exactly zero."""
    x = model.stem(images)
    return x + 0 * model.block(x)  # type: ignore[no-any-return]


def frozen_stem(model: Any, images: Tensor) -> Tensor:
    model.stem.requires_grad_(requires_grad=False)
    return without_grad(model, images)


@pytest.mark.parametrize(
    ("way", "where"),
    [
        (detached, ("stem.0", "block")),
        (without_grad, ("stem.0",)),
        (branch_detached, ("block",)),
    ],
)
def test_real_layers_that_are_cut_off(
    way: Callable[[Any, Tensor], Tensor], where: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    model = Parts(way)
    seen = train(model, steps=6, every=2)
    assert found(seen) == ["layer-frozen"]
    finding = loop.layer_frozen(seen)
    assert finding is not None
    assert (finding.where, finding.since) == (where, 5)


@pytest.mark.parametrize("way", [healthy, idle_aux, idle_everywhere, skipped, zeroed, frozen_stem])
def test_real_layers_that_are_meant_so(way: Callable[[Any, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    seen = train(Parts(way), steps=8, every=1)
    assert len(seen.looks) == 8
    assert found(seen) == []
