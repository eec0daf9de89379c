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

from fathom.data.settings import AugmentSettings, DataSettings, PadCrop
from fathom.errors import require
from fathom.training.choices import (
    Constant,
    Cosine,
    CrossEntropy,
    Loss,
    Optimizer,
    Schedule,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
)


@dataclass(frozen=True)
class ModelSettings:
    """A name of the zoo, and fields of its family's Spec that replace the variant's.

    weights are pretrained ones to start from (torchvision, torchvision:NAME, timm:NAME, lite, or a
    path); None for fresh ones. frozen_norms keeps the statistics, scales and shifts of their batch
    norms as they are; trained_stages trains the head and that many of the last stages only, all of
    them where it is None.
    """

    name: str
    spec: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    frozen_norms: bool = False
    trained_stages: int | None = None

    def __post_init__(self) -> None:
        require(
            self.trained_stages is None or self.weights is not None,
            "model.trained_stages keeps the stages before as pretrained; set model.weights",
        )
        require(
            self.trained_stages is None or self.trained_stages >= 0,
            f"model.trained_stages is {self.trained_stages}; use 0 (the head alone) or more",
        )
        require(
            not self.frozen_norms or self.weights is not None,
            "model.frozen_norms keeps the statistics of pretrained weights; set model.weights",
        )


@dataclass(frozen=True)
class Progressive:
    """Images grow from `start` of image_size to all of it over the first `end` of the run.

    Source: Howard 2018, fast.ai's entry to DAWNBench, and Tan and Le 2021, arXiv:2104.00298,
    Section 4.
    """

    name: ClassVar[str] = "progressive"
    start: float = 0.5
    end: float = 0.7

    def __post_init__(self) -> None:
        require(0 < self.start < 1, f"progressive.start is {self.start:g}; it lies in 0 to 1")
        require(0 < self.end <= 1, f"progressive.end is {self.end:g}; it lies in 0 to 1")


@dataclass(frozen=True)
class Recipe:
    """One complete training run.

    One of epochs, steps and minutes is set: a run is that many passes over the training images,
    that many optimizer steps, or that much time, over which the schedule is then laid.
    batch_size counts the images of one optimizer step, which goes through the network in
    `accumulate` equal parts. image_size is the side of the square that the network is trained on,
    which progressive lets grow; eval_size and eval_resize, where they are set, are the crop and the
    short side of evaluation (Touvron et al. 2019, arXiv:1906.06423). sampling "balanced" draws each
    class equally often.

    layer_decay multiplies the learning rate once for every block between a layer and the head.
    decay_norms lets weight decay act on norms and biases too, as papers before 2018 did. l2_sp
    pulls pretrained weights back to where they started, instead of weight decay to zero.
    ema is the decay of the average of the weights, None for none. recalibrate measures the batch
    norms' statistics anew over that many batches before the weights are judged. clip_norm bounds
    the norm of the whole gradient, None for no bound. select says which weights the run keeps as
    its result: the last, or the best on the validation images; patience stops after so many epochs
    without a better one.
    """

    name: str
    model: ModelSettings
    data: DataSettings
    image_size: int
    augment: AugmentSettings
    optimizer: Optimizer
    batch_size: int
    epochs: int | None
    minutes: float | None = None
    steps: int | None = None
    eval_size: int | None = None
    eval_resize: int | None = None
    progressive: Progressive | None = None
    accumulate: int = 1
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    loss: Loss = field(default_factory=CrossEntropy)
    schedule: Schedule = field(default_factory=Cosine)
    layer_decay: float = 1.0
    decay_norms: bool = False
    l2_sp: float = 0.0
    clip_norm: float | None = None
    ema: float | None = None
    recalibrate: int = 0
    select: Literal["last", "best"] = "last"
    patience: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    channels_last: bool = True

    @property
    def averaged(self) -> bool:
        """Whether it is averages of the weights that are judged and kept."""
        free = isinstance(self.optimizer, ScheduleFreeSGD | ScheduleFreeAdamW)
        return free or self.ema is not None

    def __post_init__(self) -> None:
        self._check_length()
        self._check_numbers()
        self._check_views()
        self._check_together()

    def _check_length(self) -> None:
        lengths = {"epochs": self.epochs, "minutes": self.minutes, "steps": self.steps}
        require(
            sum(value is not None for value in lengths.values()) == 1,
            f"the length of the run is {lengths}; set exactly one of the three",
        )
        counts = {"epochs": self.epochs, "steps": self.steps, "patience": self.patience}
        for name, value in counts.items():
            require(value is None or value >= 1, f"{name} is {value}; it must be at least 1")

    def _check_numbers(self) -> None:
        for name, number in (("minutes", self.minutes), ("clip_norm", self.clip_norm)):
            require(number is None or number > 0, f"{name} is {number}; it must be above 0")
        require(self.batch_size >= 2, f"batch_size is {self.batch_size}; use at least 2")
        require(
            self.accumulate >= 1 and self.batch_size % self.accumulate == 0,
            f"accumulate is {self.accumulate}; it must divide batch_size {self.batch_size}",
        )
        require(
            self.batch_size // self.accumulate >= 2,
            f"accumulate is {self.accumulate}; leave parts of at least 2 images to batch norm",
        )
        require(
            0 < self.layer_decay <= 1,
            f"layer_decay is {self.layer_decay:g}; it must be above 0 and at most 1 (no decay)",
        )
        require(self.recalibrate >= 0, f"recalibrate is {self.recalibrate}; use 0 or more batches")
        if self.ema is not None:
            require(0 < self.ema < 1, f"ema is {self.ema:g}; a decay lies between 0 and 1")

    def _check_views(self) -> None:
        require(self.image_size >= 4, f"image_size is {self.image_size}; use at least 4")
        crop, files = self.augment.crop, self.augment.from_files
        require(
            not (files and self.data.cache == "memory"),
            f"augment.crop {crop.name} needs the original images; set data.cache to auto or off",
        )
        require(
            not (isinstance(crop, PadCrop) and crop.padding >= self.image_size),
            "augment.crop.padding must be smaller than image_size",
        )
        size = self.eval_size or self.image_size
        require(
            files or (size == self.image_size and self.eval_resize is None),
            "eval_size and eval_resize need augment.crop=resized or scale: the others train on "
            "crops of exactly the view that is evaluated",
        )
        require(
            self.eval_resize is None or self.eval_resize >= size >= 4,
            f"eval_resize is {self.eval_resize}; it must hold the evaluated crop of {size} pixels",
        )
        require(
            self.eval_size is None or size >= 4, f"eval_size is {self.eval_size}; use 4 or more"
        )
        repeats = self.augment.repeats
        require(
            self.batch_size % repeats == 0 and repeats < self.batch_size,
            f"augment.repeats is {repeats}; it must divide batch_size {self.batch_size}",
        )

    def _check_together(self) -> None:
        """Settings that another one leaves without effect, or spoils."""
        require(
            self.patience is None or self.select == "best",
            "patience stops on the best validation accuracy; set select=best with it",
        )
        free = isinstance(self.optimizer, ScheduleFreeSGD | ScheduleFreeAdamW)
        require(
            not free or isinstance(self.schedule, Constant),
            f"{self.optimizer.name} needs no falling schedule; set schedule=constant with it",
        )
        require(
            not (free and self.ema is not None),
            f"{self.optimizer.name} averages the weights itself; set ema=none with it",
        )
        weighted = getattr(self.loss, "class_weights", "none") != "none"
        require(
            not (weighted and self.sampling == "balanced"),
            "loss.class_weights and sampling=balanced both make up for rare classes; choose one",
        )
        require(self.l2_sp >= 0, f"l2_sp is {self.l2_sp:g}; use 0 (off) or more")
        require(
            self.l2_sp == 0 or self.model.weights is not None,
            "l2_sp pulls weights back to pretrained ones; set model.weights with it",
        )
        require(
            not (self.l2_sp and free),
            f"l2_sp moves weights that {self.optimizer.name} averages; choose another optimizer",
        )
        require(
            self.augment.repeats == 1 or self.sampling == "shuffled",
            "augment.repeats needs sampling=shuffled; balanced sampling repeats images already",
        )
