"""A training loop such as people write, with every place at which it can go wrong as a field."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from baselines import Trace, Tracer
from networks import build
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from worlds import Pictures, Transform, World

import fathom
from fathom.doctor import Observed

LossOf = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Plan:
    """One run. As it is, it is healthy; a fault changes something.

    wd: weight decay. warmup: share of the steps. schedule: factor of the learning rate by progress
    in [0, 1]. prepare: what is done to the model before the optimizer gets parameters. held: which
    of these it gets. loss: of logits and targets. mix: alpha of mixup, 0 for none. begin_worker:
    what each worker of the training loader does first. to_train, to_eval: what is done to the model
    before training and before evaluation.
    """

    world: World
    network: str
    seed: int
    steps: int = 220
    batch_size: int = 64
    lr: float = 0.05
    wd: float = 5e-4
    momentum: float = 0.9
    optimizer: str = "sgd"
    warmup: float = 0.0
    clip: float | None = None
    accumulate: int = 1
    schedule: Callable[[float], float] = lambda progress: 0.5 * (1 + math.cos(math.pi * progress))
    prepare: Callable[[nn.Module], None] = lambda model: None
    held: Callable[[nn.Module], Iterable[nn.Parameter]] = lambda model: model.parameters()
    loss: LossOf = F.cross_entropy
    mix: float = 0.0
    ema: float | None = None
    clear: bool = True
    normalise: Callable[[Tensor], Tensor] | None = None
    transform: Transform | None = None
    val_transform: Transform | None = None
    sampler: Callable[[Pictures], Sampler[int] | None] = lambda pictures: None
    workers: int = 0
    begin_worker: Callable[[int], None] | None = None
    to_train: Callable[[nn.Module], object] = lambda model: model.train()
    to_eval: Callable[[nn.Module], object] = lambda model: model.eval()
    truth: dict[str, float] = field(default_factory=dict)
    every: int | None = None


@dataclass
class Outcome:
    """What came of it: what the doctor saw and what the rules beside it saw, and accuracy as the
    loop has it; seconds are the doctor's."""

    observed: Observed
    trace: Trace
    top1: float
    seconds: float


def run(plan: Plan) -> Outcome:
    """Train as planned, with the doctor looking on."""
    world, normalise = plan.world, plan.normalise or usual(plan.world)
    torch.manual_seed(plan.seed)
    channels = world.train_images.shape[1]
    model = build(plan.network, channels, world.num_classes, seed=plan.seed)
    model = model.to(memory_format=torch.channels_last)  # a quarter faster, on these machines
    plan.prepare(model)
    optimizer = _optimizer(plan, model)
    average = copy.deepcopy(model) if plan.ema is not None else None
    pictures = Pictures(
        world.train_images, world.train_targets, normalise, plan.transform, plan.seed
    )
    judges = Pictures(world.val_images, world.val_targets, normalise, plan.val_transform, plan.seed)
    sampler = plan.sampler(pictures)
    loader = DataLoader(
        pictures,
        plan.batch_size,
        shuffle=sampler is None,
        sampler=sampler,
        drop_last=True,
        num_workers=plan.workers,
        worker_init_fn=plan.begin_worker,
        generator=torch.Generator().manual_seed(plan.seed),
    )
    val_loader = DataLoader(judges, 128)

    watch = fathom.watch(
        model,
        optimizer,
        train=loader,
        val=val_loader,
        average=average,
        every=plan.every,
    )
    trace, tracer = _traced(plan, model, loader), Tracer(model)
    rng = random.Random(plan.seed)
    sums = torch.zeros(3)
    for step, (images, targets) in zip(range(plan.steps), _endless(loader), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = plan.lr * _factor(plan, step)
        plan.to_train(model)
        labels: Tensor = targets
        if plan.mix:
            images, labels = _mixed(images, targets, rng.betavariate(plan.mix, plan.mix))
        logits = model(images)
        loss = plan.loss(logits, labels)
        if plan.clear:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if plan.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), plan.clip)
        closing = (step + 1) % max(1, plan.steps // trace.epochs) == 0
        if closing:
            with watch.looking_away():
                tracer.before(images)
        optimizer.step()
        if average is not None and plan.ema is not None:
            _pull(average, model, plan.ema)
        watch.step(loss, labels)
        value = float(loss.detach())
        trace.loss.append(value)
        sums += torch.tensor([value, float((logits.argmax(1) == targets).float().mean()), 1.0])
        if closing or not math.isfinite(value):
            judged = _evaluated(plan, average or model, val_loader)
            if closing:
                train = float(sums[0] / sums[2]), float(sums[1] / sums[2])
                trace.snapshots.append(tracer.after((*train, *judged)))
                sums.zero_()
        if not math.isfinite(value):
            break
    top1 = _evaluated(plan, average or model, val_loader)[1]
    verdict = watch.verdict()
    return Outcome(verdict.observed, trace, top1, watch.cost)


def _traced(plan: Plan, model: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]]) -> Trace:
    counts = torch.bincount(plan.world.train_targets, minlength=10).tolist()
    return Trace(counts=counts, epochs=max(1, round(plan.steps / max(1, len(loader)))))


def _factor(plan: Plan, step: int) -> float:
    factor = plan.schedule(step / plan.steps)
    if plan.warmup:
        factor *= min(1.0, (step + 1) / (plan.warmup * plan.steps))
    return factor


def usual(world: World) -> Callable[[Tensor], Tensor]:
    """Scaled to [0, 1], then by mean and deviation."""
    mean, std = world.mean[:, None, None], world.std[:, None, None]
    return lambda image: (image.float() / 255 - mean) / std


def _optimizer(plan: Plan, model: nn.Module) -> torch.optim.Optimizer:
    given = list(plan.held(model))
    if plan.optimizer == "adamw":
        return torch.optim.AdamW(given, lr=plan.lr, weight_decay=plan.wd)
    return torch.optim.SGD(
        given, lr=plan.lr, momentum=plan.momentum, weight_decay=plan.wd, nesterov=plan.momentum > 0
    )


def _endless(loader: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def _mixed(images: Tensor, targets: Tensor, lam: float) -> tuple[Tensor, Tensor]:
    rows = F.one_hot(targets, 10).float()
    return lam * images + (1 - lam) * images.flip(0), lam * rows + (1 - lam) * rows.flip(0)


@torch.no_grad()
def _pull(average: nn.Module, model: nn.Module, decay: float) -> None:
    for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
        mine.lerp_(theirs, 1 - decay)
    for held, new in zip(average.buffers(), model.buffers(), strict=True):
        held.copy_(new)


@torch.no_grad()
def _evaluated(
    plan: Plan, model: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]]
) -> tuple[float, float]:
    """Loss and accuracy as the loop has them."""
    plan.to_eval(model)
    sums = torch.zeros(2)
    for images, targets in loader:
        logits = model(images)
        right = (logits.argmax(1) == targets).sum()
        sums += torch.stack((F.cross_entropy(logits, targets, reduction="sum"), right))
    loss, top1 = (sums / len(plan.world.val_targets)).tolist()
    return loss, top1
