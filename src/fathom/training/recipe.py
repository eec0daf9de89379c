"""A recipe: everything that decides a training run, in one frozen dataclass.

It is complete (model, data, augmentation, loss, optimizer, schedule, length, seed), goes through
JSON without loss, and any field is reached by its path, as in `optimizer.lr`. Where one choice has
settings that another lacks (SGD has momentum, AdamW has not), the choices are different classes, so
that a setting without effect cannot be written down.

Free of PyTorch: a recipe is checked before anything heavy is imported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from fathom.data.settings import AugmentSettings, DataSettings, PadCrop, ResizedCrop
from fathom.errors import require


def _fraction(name: str, value: float) -> None:
    require(0 <= value < 1, f"{name} is {value:g}; it must be at least 0 and below 1")


@dataclass(frozen=True)
class ModelSettings:
    """A name of the zoo, and fields of its family's Spec that replace the variant's.

    weights are pretrained ones to start from (torchvision, torchvision:NAME, timm:NAME, lite, or a
    path); None for fresh ones.
    """

    name: str
    spec: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None


@dataclass(frozen=True)
class LossSettings:
    """Cross entropy, with label_smoothing (Szegedy et al. 2015, arXiv:1512.00567, Section 7)."""

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _fraction("loss.label_smoothing", self.label_smoothing)


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent; nesterov as in Sutskever et al. 2013.

    weight_decay acts on weights of convolutions and linear layers, never on norms and biases.
    """

    name: ClassVar[str] = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        _check_optimizer(self.lr, self.weight_decay)
        _fraction("optimizer.momentum", self.momentum)
        require(
            not (self.nesterov and self.momentum == 0),
            "optimizer.nesterov has no effect without momentum; set optimizer.nesterov=false",
        )


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv:1711.05101).

    weight_decay acts on weights of convolutions and linear layers, never on norms and biases.
    """

    name: ClassVar[str] = "adamw"
    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.05

    def __post_init__(self) -> None:
        _check_optimizer(self.lr, self.weight_decay)
        _fraction("optimizer.beta1", self.beta1)
        _fraction("optimizer.beta2", self.beta2)
        require(self.eps > 0, f"optimizer.eps is {self.eps:g}; it must be above 0")


def _check_optimizer(lr: float, weight_decay: float) -> None:
    require(lr > 0, f"optimizer.lr is {lr:g}; it must be above 0")
    require(weight_decay >= 0, f"optimizer.weight_decay is {weight_decay:g}; it must be 0 or more")


@dataclass(frozen=True)
class Cosine:
    """From lr down half a cosine to final * lr (Loshchilov and Hutter 2016, arXiv:1608.03983).

    warmup is the share of the run in which lr rises linearly from 0.
    """

    name: ClassVar[str] = "cosine"
    warmup: float = 0.05
    final: float = 0.0

    def __post_init__(self) -> None:
        _fraction("schedule.warmup", self.warmup)
        _fraction("schedule.final", self.final)


@dataclass(frozen=True)
class Step:
    """lr times gamma at every milestone, a share of the run; warmup as in Cosine."""

    name: ClassVar[str] = "step"
    milestones: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1
    warmup: float = 0.0

    def __post_init__(self) -> None:
        inside = all(0 < milestone < 1 for milestone in self.milestones)
        require(
            inside and list(self.milestones) == sorted(set(self.milestones)),
            f"schedule.milestones is {self.milestones}; they are shares of the run between 0 and 1 "
            "in rising order, as in 0.5,0.75",
        )
        require(0 < self.gamma < 1, f"schedule.gamma is {self.gamma:g}; it lies between 0 and 1")
        _fraction("schedule.warmup", self.warmup)


@dataclass(frozen=True)
class OneCycle:
    """Linearly from start * lr up to lr at peak, a share of the run, then linearly to final * lr.

    Source: Smith and Topin 2017, arXiv:1708.07120. Departure: momentum stays constant.
    """

    name: ClassVar[str] = "one_cycle"
    peak: float = 0.25
    start: float = 0.1
    final: float = 0.0

    def __post_init__(self) -> None:
        require(0 < self.peak < 1, f"schedule.peak is {self.peak:g}; it must lie between 0 and 1")
        _fraction("schedule.start", self.start)
        _fraction("schedule.final", self.final)


@dataclass(frozen=True)
class Recipe:
    """One complete training run.

    One of epochs, steps and minutes is set: a run is that many passes over the training images,
    that many optimizer steps, or that much time, over which the schedule is then laid.
    batch_size counts the images of one optimizer step. image_size is the side of the square that
    the network sees. ema is the decay of the average of the weights, None for none. clip_norm
    bounds the norm of the whole gradient, None for no bound. select says which weights the run
    keeps as its result: the last, or the best on the validation images; patience stops after so
    many epochs without a better one.
    """

    name: str
    model: ModelSettings
    data: DataSettings
    image_size: int
    augment: AugmentSettings
    optimizer: SGD | AdamW
    batch_size: int
    epochs: int | None
    minutes: float | None = None
    steps: int | None = None
    loss: LossSettings = field(default_factory=LossSettings)
    schedule: Cosine | Step | OneCycle = field(default_factory=Cosine)
    clip_norm: float | None = None
    ema: float | None = None
    select: Literal["last", "best"] = "last"
    patience: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    channels_last: bool = True

    def __post_init__(self) -> None:
        lengths = {"epochs": self.epochs, "minutes": self.minutes, "steps": self.steps}
        require(
            sum(value is not None for value in lengths.values()) == 1,
            f"the length of the run is {lengths}; set exactly one of the three",
        )
        counts = {"epochs": self.epochs, "steps": self.steps, "patience": self.patience}
        for name, value in counts.items():
            require(value is None or value >= 1, f"{name} is {value}; it must be at least 1")
        for name, number in (("minutes", self.minutes), ("clip_norm", self.clip_norm)):
            require(number is None or number > 0, f"{name} is {number}; it must be above 0")
        require(self.batch_size >= 2, f"batch_size is {self.batch_size}; use at least 2")
        require(self.image_size >= 4, f"image_size is {self.image_size}; use at least 4")
        if self.ema is not None:
            require(0 < self.ema < 1, f"ema is {self.ema:g}; a decay lies between 0 and 1")
        require(
            self.patience is None or self.select == "best",
            "patience stops on the best validation accuracy; set select=best with it",
        )
        crop = self.augment.crop
        require(
            not (isinstance(crop, ResizedCrop) and self.data.cache == "memory"),
            "augment.crop resized needs the original images; set data.cache to auto or off",
        )
        require(
            not (isinstance(crop, PadCrop) and crop.padding >= self.image_size),
            "augment.crop.padding must be smaller than image_size",
        )
