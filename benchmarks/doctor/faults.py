"""Faults, each planted in an otherwise healthy run, and healthy runs that look odd.

A fault is a change of the plan. Some suit only some networks: batch norm, dropout, ReLU modules.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F
from loops import Plan
from networks import DEEPER, FunctionalNet, has
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Sampler, get_worker_info
from worlds import Pictures

from fathom.models.resnet import Block

Change = Callable[[Plan], Plan]
Fits = Callable[[nn.Module], bool]


def _always(_model: nn.Module) -> bool:
    return True


def _batch_norm(model: nn.Module) -> bool:
    return has(model, _BatchNorm)


def _dropout(model: nn.Module) -> bool:
    return has(model, nn.Dropout)


def _no_norm(model: nn.Module) -> bool:
    return not has(model, (_BatchNorm, nn.GroupNorm))


def _has_deeper(model: nn.Module) -> bool:
    """Whether DEEPER has a plain network that is as this one, but for its depth."""
    blocks = [m for m in model.modules() if isinstance(m, Block)]
    plain = bool(blocks) and all(block.shortcut is None for block in blocks)
    return plain or isinstance(model, FunctionalNet)


def _deeper(plan: Plan) -> Plan:
    return replace(plan, network=DEEPER[plan.network], batch_size=32, steps=120)


def _unscaled(images: Tensor) -> Tensor:
    return images.float()


def _weights(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def _scaled(factor: float) -> Callable[[nn.Module], None]:
    def change(model: nn.Module) -> None:
        with torch.no_grad():
            for module in _weights(model):
                module.weight.mul_(factor)  # type: ignore[operator]

    return change


def _zeros(model: nn.Module) -> None:
    for module in _weights(model):
        nn.init.zeros_(module.weight)  # type: ignore[arg-type]


def _sigmoids(model: nn.Module) -> None:
    """Sigmoids instead of ReLUs, and no norms: the network of 1990."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU | nn.ReLU6):
                setattr(parent, name, nn.Sigmoid())
            elif isinstance(child, _BatchNorm):
                setattr(parent, name, nn.Identity())


def _without_norms(model: nn.Module) -> None:
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                setattr(parent, name, nn.Identity())


def _slow_norms(model: nn.Module) -> None:
    """A hundredth of PyTorch's momentum, and less than the networks from TensorFlow have."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1e-3


def _exploding(model: nn.Module) -> None:
    _without_norms(model)
    _scaled(1.8)(model)


def _dying(model: nn.Module) -> None:
    """Biases so low that most ReLUs never open."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | _BatchNorm | nn.GroupNorm) and (
                module.bias is not None
            ):
                module.bias.fill_(-6.0)


def _freeze_middle(model: nn.Module) -> None:
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    for module in convs[len(convs) // 3 : 2 * len(convs) // 3]:
        module.requires_grad_(requires_grad=False)


def _without_head(model: nn.Module) -> Iterable[nn.Parameter]:
    return list(model.parameters())[:-2]


def _without_first_half(model: nn.Module) -> Iterable[nn.Parameter]:
    every = list(model.parameters())
    return every[len(every) // 2 :]


def _eval_but_norms(model: nn.Module) -> None:
    model.eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.train()


def _eval_but_dropout(model: nn.Module) -> None:
    model.eval()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.train()


def _freeze_norms(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.requires_grad_(requires_grad=False)


def _noisy(share: float) -> Change:
    def change(plan: Plan) -> Plan:
        world, rng = plan.world, random.Random(plan.seed)
        targets = world.train_targets.clone()
        for place in rng.sample(range(len(targets)), round(share * len(targets))):
            others = [c for c in range(10) if c != targets[place]]
            targets[place] = rng.choice(others)
        return replace(plan, world=world.of(world.train_images, targets), truth={"noise": share})

    return change


def _shuffled(plan: Plan) -> Plan:
    world = plan.world
    order = torch.randperm(
        len(world.train_targets), generator=torch.Generator().manual_seed(plan.seed)
    )
    return replace(plan, world=world.of(world.train_images, world.train_targets[order]))


def _shifted(plan: Plan) -> Plan:
    world = replace(plan.world, val_targets=(plan.world.val_targets + 1) % 10)
    return replace(plan, world=world)


def _on_their_side(plan: Plan) -> Plan:
    """Validation images with rows and columns exchanged, as one library hands them to another."""
    return replace(
        plan, world=replace(plan.world, val_images=plan.world.val_images.transpose(2, 3))
    )


def _paler(plan: Plan) -> Plan:
    """Validation images normalised twice over: of less contrast, and another brightness."""
    images = plan.world.val_images
    return replace(plan, world=replace(plan.world, val_images=0.4 * images + 0.3))


def _leaking(plan: Plan) -> Plan:
    world = plan.world
    count = len(world.val_targets) // 3
    images = torch.cat([world.train_images, world.val_images[:count]])
    return replace(
        plan, world=world.of(images, torch.cat([world.train_targets, world.val_targets[:count]]))
    )


def _imbalanced(plan: Plan) -> Plan:
    """Half of the classes have all their images and half have three: the step imbalance of Buda et
    al. 2017, arXiv:1710.05381."""
    world = plan.world
    each = [torch.where(world.train_targets == c)[0] for c in range(world.num_classes)]
    rare = world.num_classes // 2
    kept = torch.cat([p[:3] if c < rare else p for c, p in enumerate(each)])
    return replace(plan, world=world.of(world.train_images[kept], world.train_targets[kept]))


def _blank(plan: Plan) -> Plan:
    world, images = plan.world, plan.world.train_images.clone()
    images[::4] = 0
    return replace(plan, world=world.of(images, world.train_targets))


def _turned(image: Tensor, rng: random.Random) -> Tensor:
    return torch.rot90(image, rng.randrange(4), (1, 2))


def _erased(image: Tensor, rng: random.Random) -> Tensor:
    """Only an eighth of the picture is left."""
    out = torch.zeros_like(image)
    top, left = rng.randrange(image.shape[1] - 5), rng.randrange(image.shape[2] - 5)
    out[:, top : top + 5, left : left + 5] = image[:, top : top + 5, left : left + 5]
    return out


def moved(image: Tensor, rng: random.Random) -> Tensor:
    """A padded crop by at most two pixels, as is usual."""
    padded = F.pad(image, (2, 2, 2, 2))
    top, left = rng.randrange(5), rng.randrange(5)
    return padded[:, top : top + image.shape[1], left : left + image.shape[2]]


def _draw_apart(_worker: int) -> None:
    """A worker of the loader draws from a generator of its own."""
    info = get_worker_info()
    assert info is not None
    cast(Pictures, info.dataset).rng = random.Random(info.seed)


class InOrder(Sampler[int]):
    """All images of a class, then all of the next."""

    def __init__(self, pictures: Pictures) -> None:
        self.order = pictures.targets.argsort(stable=True).tolist()

    def __iter__(self) -> Iterator[int]:
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)


def _with_softmax(model: nn.Module) -> None:
    model.register_forward_hook(lambda _m, _i, output: output.softmax(1))


def _few(plan: Plan) -> Plan:
    return replace(plan, world=plan.world.fewer(8), steps=300, wd=0.0, batch_size=32)


FAULTS: dict[str, list[tuple[Change, Fits]]] = {
    "learning-rate-too-high": [
        (lambda p: replace(p, lr=160 * p.lr), _batch_norm),
        (lambda p: replace(p, lr=40 * p.lr), _no_norm),
    ],
    "learning-rate-too-low": [(lambda p: replace(p, lr=p.lr / 1000), _always)],
    "vanishing-gradients": [(lambda p: replace(p, prepare=_sigmoids), _batch_norm)],
    "exploding-gradients": [
        (
            lambda p: replace(p, prepare=_exploding),
            _batch_norm,
        )
    ],
    "dead-relus": [(lambda p: replace(p, prepare=_dying), _always)],
    "bad-initialisation": [
        (lambda p: replace(p, prepare=_zeros), _always),
        (lambda p: replace(p, prepare=_scaled(0.05)), _no_norm),
        (lambda p: replace(p, prepare=_scaled(20.0)), _no_norm),
    ],
    "missing-normalisation": [(lambda p: replace(p, prepare=_without_norms), _batch_norm)],
    "gradients-not-cleared": [(lambda p: replace(p, clear=False), _always)],
    "parameters-not-optimised": [
        (lambda p: replace(p, held=_without_head), _always),
        (lambda p: replace(p, held=_without_first_half), _always),
    ],
    "layer-frozen": [(lambda p: replace(p, prepare=_freeze_middle), _always)],
    "softmax-before-loss": [(lambda p: replace(p, prepare=_with_softmax), _always)],
    "weight-decay-too-strong": [(lambda p: replace(p, wd=0.3), _always)],
    "schedule-ends-too-early": [
        (lambda p: replace(p, schedule=lambda t: max(0.0, 1 - 12 * t)), _always),
        (lambda p: replace(p, schedule=lambda t: 0.5 ** (40 * t)), _always),
    ],
    "batch-too-small": [(lambda p: replace(p, batch_size=2, steps=500, lr=p.lr / 5), _batch_norm)],
    "batch-statistics-in-evaluation": [
        (lambda p: replace(p, to_eval=_eval_but_norms), _batch_norm)
    ],
    "trained-in-eval-mode": [
        (lambda p: replace(p, to_train=lambda m: m.eval()), lambda m: _batch_norm(m) or _dropout(m))
    ],
    "dropout-in-evaluation": [(lambda p: replace(p, to_eval=_eval_but_dropout), _dropout)],
    "frozen-norm-uses-batch-statistics": [
        (lambda p: replace(p, prepare=_freeze_norms), _batch_norm)
    ],
    "ema-too-slow": [(lambda p: replace(p, ema=0.9995), _always)],
    "label-noise": [(_noisy(0.2), _always), (_noisy(0.4), _always)],
    "labels-shuffled": [(_shuffled, _always)],
    "classes-shifted": [(_shifted, _always)],
    "norm-statistics-behind": [(lambda p: replace(p, prepare=_slow_norms), _batch_norm)],
    "splits-differ": [(_on_their_side, _always), (_paler, _always)],
    "input-range": [(lambda p: replace(p, normalise=_unscaled), _always)],
    "augmentation-destroys-labels": [(lambda p: replace(p, transform=_erased), _always)],
    "augmented-validation": [
        (lambda p: replace(p, transform=moved, val_transform=_turned), _always)
    ],
    "not-shuffled": [(lambda p: replace(p, sampler=InOrder), _always)],
    "leakage": [(_leaking, _always)],
    "same-worker-streams": [(lambda p: replace(p, transform=moved, workers=2), _always)],
    "collapse-to-majority": [(_imbalanced, _always)],
    "blank-images": [(_blank, _always)],
    "degradation": [(_deeper, _has_deeper)],
    "overfitting": [(_few, _always)],
    "underfitting": [(lambda p: replace(p, transform=_erased, wd=0.02), lambda m: False)],
    "stopped-too-early": [
        (lambda p: replace(p, steps=30, lr=p.lr / 5, schedule=lambda t: 1.0), _always)
    ],
}

HEALTHY: dict[str, tuple[Change, Fits]] = {
    "as it is": (lambda p: p, _always),
    "moved": (lambda p: replace(p, transform=moved), _always),
    "workers": (
        lambda p: replace(p, transform=moved, workers=2, begin_worker=_draw_apart),
        _always,
    ),
    "mixup": (lambda p: replace(p, mix=1.0, transform=moved, steps=300), _always),
    "long warm-up": (lambda p: replace(p, warmup=0.4), _always),
    "half the images": (lambda p: replace(p, world=p.world.fewer(70), transform=moved), _always),
    "adamw": (lambda p: replace(p, optimizer="adamw", lr=2e-3, wd=0.02), _always),
    "clipped": (lambda p: replace(p, clip=1.0), _always),
    "small batches": (lambda p: replace(p, batch_size=16, lr=p.lr / 4, steps=500), _always),
    "smoothed labels": (
        lambda p: replace(p, loss=lambda z, t: F.cross_entropy(z, t, label_smoothing=0.1)),
        _always,
    ),
    "constant rate": (
        lambda p: replace(p, lr=p.lr / 5, schedule=lambda t: 1.0, steps=300),
        _always,
    ),
    "average": (lambda p: replace(p, ema=0.95), _always),
    "scaled to one": (
        lambda p: replace(p, normalise=lambda image: image.float() / 255),
        _always,
    ),
    "low rate, long": (lambda p: replace(p, lr=p.lr / 5, steps=400), _always),
    "high rate": (lambda p: replace(p, lr=3 * p.lr, warmup=0.1), _batch_norm),
}
