"""What was seen of a training run: numbers only, from which every check draws its conclusion.

All of it is plain values, so that it travels in `doctor.json`: a post-mortem reads the same numbers
that the living run gave, and thresholds can be judged again without training anything again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from fathom.doctor.stored import damaged, read
from fathom.errors import require

FORMAT = 4  # of what is stored; one more whenever a field comes, goes or means something else
MOST_STEPS = 2000  # points that the curve keeps
MOST_LOOKS = 200
_FIRST_AND_LAST = 20  # looks that are kept at either end


@dataclass
class LayerFacts:
    """A layer that has weights, or that normalises, drops or activates.

    kind: "conv", "linear", "norm", "dropout", "act". trainable: some weight requires a gradient.
    optimised: the optimizer has every trainable weight. frozen: some weights do not require a
    gradient. class_name: as PyTorch calls the module. fan_in: inputs of one output of a convolution
    or a linear layer, weights: how many its kernel or matrix has. momentum: of the running
    statistics of a batch norm, None for the mean of all batches, and for other layers.
    """

    name: str
    kind: str
    class_name: str
    params: int = 0
    trainable: bool = False
    optimised: bool = True
    frozen: bool = False
    fan_in: int = 0
    weights: int = 0
    momentum: float | None = None


@dataclass
class Structure:
    """The network as it is built and wired.

    longest, shortest: layers with weights on the longest and on the shortest way from the images to
    the output, as the autograd graph has them; 0 where nothing has run yet. A residual network's
    shortest way goes over its shortcuts.
    """

    layers: list[LayerFacts] = field(default_factory=list)
    longest: int = 0
    shortest: int = 0
    unoptimised_params: int = 0
    params: int = 0


@dataclass
class Task:
    """What the run is about; 0, None or empty where nobody told.

    counts: training images of each class. pretrained: whether the weights came trained. ema: decay
    of the average that is evaluated. steps_per_epoch: 0 where unknown. recipe: the values of the
    recipe by path, for remedies.
    """

    num_classes: int = 0
    counts: list[int] = field(default_factory=list)
    batch_size: int = 0
    pretrained: bool = False
    ema: float | None = None
    steps_per_epoch: int = 0
    recipe: dict[str, Any] = field(default_factory=dict)


@dataclass
class Curve:
    """Every step, or every second, fourth ... of a long run: loss (nats), top1, learning rate."""

    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    top1: list[float | None] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    stride: int = 1

    def add(self, step: int, loss: float, top1: float | None, lr: float) -> None:
        """Take in a step; half of the points go when there are too many."""
        if step % self.stride:
            return
        self.step.append(step)
        self.loss.append(loss)
        self.top1.append(top1)
        self.lr.append(lr)
        if len(self.step) > MOST_STEPS:
            self.stride *= 2
            kept = [place for place, at in enumerate(self.step) if at % self.stride == 0]
            self.step = [self.step[place] for place in kept]
            self.loss = [self.loss[place] for place in kept]
            self.top1 = [self.top1[place] for place in kept]
            self.lr = [self.lr[place] for place in kept]


@dataclass
class Signals:
    """What goes through one layer at a look.

    Of its output: mean and std. Of its input, which is what the activation before it lets through:
    zeros, the share of zeros, and dead, the share of channels that are zero in every place of every
    image. saturated: for a bounded activation, the share of its output within 1 % of an end.
    """

    mean: float = 0.0
    std: float = 0.0
    zeros: float = 0.0
    dead: float = 0.0
    saturated: float = 0.0


@dataclass
class Weights:
    """One layer's weights at a look: norms of the gradient, of the weights before the step and of
    the step itself."""

    gradient: float
    norm: float
    update: float


@dataclass
class Look:
    """Everything measured at one step.

    line: the loss of another batch with the weights that the step had before (0), took (1), and
    would have had for multiples of it. modes: loss and top1 of that batch in training and in
    evaluation mode. drift: for each norm, how far the batch's means lie from the running ones, in
    running standard deviations, root mean square over channels. logit_std: of the outputs.
    decay: the share of the weights that weight decay takes away in a step, momentum counted in; 0
    where it cannot be told, as in Adam with L2.
    moving: parameters whose gradient was not zero when the optimizer stepped. cut_off: layers that
    the images went through and that the logits hang on, and whose weights ask for a gradient, but
    got none, not even one of zero.
    """

    step: int
    loss: float
    lr: float
    weights: dict[str, Weights] = field(default_factory=dict)
    signals: dict[str, Signals] = field(default_factory=dict)
    line: dict[str, float] = field(default_factory=dict)
    modes: dict[str, tuple[float, float]] = field(default_factory=dict)
    drift: dict[str, float] = field(default_factory=dict)
    logit_std: float = 0.0
    decay: float = 0.0
    moving: int | None = None
    cut_off: list[str] = field(default_factory=list)


@dataclass
class Exam:
    """A split judged between steps, in evaluation mode.

    split: "train", "val", "test", or "augmented": training images as training sees them. weights:
    "result", those that the run ends with, the average where there is one, or "raw", those that
    train. augmented: whether these images are, or may be, augmented.
    matrix: answers by true class, rows true; None where there are more than 200 classes.
    """

    step: int
    split: str
    weights: str
    loss: float
    top1: float
    images: int
    matrix: list[list[int]] | None = None
    augmented: bool = False


@dataclass
class Passes:
    """Counts of passes through the network, by what was asked of it and the mode it was in.

    training: of steps, by the last pass of each. evaluating: without gradients, once training has
    begun. frozen_norms_moving: most batch norms whose weights are frozen but that averaged over the
    batch in one pass. least_images: images that a batch norm averaged over, of the look that had
    most: the last batch of an epoch may be a small rest. looks: how many there were; of these,
    those at which the outputs were shares of one (probabilities), or lay between 0 and 1 otherwise
    (sigmoids); and those at which the loss told was that of outputs as logits (loss_of_logits), or
    as probabilities.
    """

    training: int = 0
    evaluating: int = 0
    training_in_eval_mode: int = 0
    evaluating_with_batch_statistics: int = 0
    evaluating_with_dropout: int = 0
    frozen_norms_moving: int = 0
    not_cleared: int = 0
    cleared: int = 0
    backward: int = 0
    least_images: int = 0
    looks: int = 0
    probabilities: int = 0
    sigmoids: int = 0
    loss_of_logits: int = 0
    loss_of_probabilities: int = 0


@dataclass
class Inputs:
    """What the network is fed in training.

    mean, std: by channel; low, high: the range; entering: root mean square of what the first layer
    with weights is given. Of pretrained weights with batch norms: ways, how far the images are from
    what the norms have learnt, for each way of preparing the pixels (`transfer.fits.misfit`);
    fed_as, the way in use; better, the way that fits much better, "" where none does; exchanged:
    the t value by which the network knows the images more surely with red and blue exchanged, 0
    where it was not asked or does not.
    """

    images: int = 0
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    low: float = 0.0
    high: float = 0.0
    entering: float = 0.0
    ways: dict[str, float] = field(default_factory=dict)
    fed_as: str = ""
    better: str = ""
    exchanged: float = 0.0


@dataclass
class Order:
    """The order in which training meets its labels, by the first 2,048 of them.

    clumps: how many images behave as one draw: the variance of class counts between windows of 32
    labels over that of independent draws. 1 by chance, 32 where classes come one after the other.
    """

    labels: int = 0
    clumps: float = 1.0


@dataclass
class Neighbours:
    """Whether labels have to do with images, without any network: of images, those whose nearest
    other image by an 8 x 8 thumbnail has the same label.

    train: training images among training images; val: validation images among validation images;
    across: validation images among training images; shown: augmented training images among plain
    ones, None where nothing is augmented or it was not measured; chance: where labels are drawn at
    random. Shares of `images` training and `val_images` validation images.
    """

    images: int
    val_images: int
    train: float
    val: float
    across: float
    chance: float
    shown: float | None = None


@dataclass
class Labels:
    """What training says of its own labels.

    suspects: (file or place, label, what it seems to be) of the most suspicious, the worst first.
    neighbours: None without plain images of both splits.
    """

    suspects: list[tuple[str, str, str]] = field(default_factory=list)
    neighbours: Neighbours | None = None


@dataclass
class Apart:
    """A respect in which splits differ. effect: difference of the means within a class, over the
    pooled standard deviation; error: its standard error, were they alike. augmented: the training
    images were."""

    respect: str
    effect: float
    error: float
    augmented: bool


@dataclass
class Sharing:
    """Images that stand in both splits, and what reading them shows.

    judged: validation images that were looked for among the training images, leaked: those found.
    same_streams: two fresh workers drew the same augmentations; None where it was not asked.
    moving: of the validation images read twice, the share that differ. blank: share of the training
    images, not augmented, that are of one colour, of `plain` images looked at. apart: in which
    respect validation images are least like training images of their class.
    """

    leaked: int = 0
    leaked_names: list[str] = field(default_factory=list)
    judged: int = 0
    same_streams: bool | None = None
    moving: float = 0.0
    blank: float = 0.0
    plain: int = 0
    apart: Apart | None = None


@dataclass
class Observed:
    """All that was seen of one run."""

    structure: Structure = field(default_factory=Structure)
    task: Task = field(default_factory=Task)
    curve: Curve = field(default_factory=Curve)
    looks: list[Look] = field(default_factory=list)
    exams: list[Exam] = field(default_factory=list)
    passes: Passes = field(default_factory=Passes)
    inputs: Inputs = field(default_factory=Inputs)
    order: Order = field(default_factory=Order)
    labels: Labels = field(default_factory=Labels)
    sharing: Sharing = field(default_factory=Sharing)
    diverged: int | None = None
    over: bool = False

    def add_look(self, look: Look) -> None:
        """Take in a look. Of more than 200 the first and the last 20 are kept, and between them
        those that lie furthest apart."""
        self.passes.looks += 1
        self.looks.append(look)
        if len(self.looks) > MOST_LOOKS:
            inner = range(_FIRST_AND_LAST, len(self.looks) - _FIRST_AND_LAST)
            del self.looks[min(inner, key=self._gap_without)]

    def _gap_without(self, place: int) -> int:
        return self.looks[place + 1].step - self.looks[place - 1].step

    def add_exam(self, exam: Exam) -> None:
        """Take in an exam. Only the last of its kind keeps its matrix."""
        for former in self.exams:
            if (former.split, former.weights) == (exam.split, exam.weights):
                former.matrix = None
        self.exams.append(exam)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, and the number of their format."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Any) -> Observed:
        """The inverse of `to_dict`.

        Raises UserError for another format, and for damaged values: a field too many, one that is
        missing, or one of another type.
        """
        if not isinstance(values, dict):
            raise damaged("observed", values, "fields")
        known = values.get("format", 1)  # the first format had no number
        require(
            known == FORMAT,
            f"what was seen is of format {known}, and this Fathom reads format {FORMAT} only; use "
            "the version that wrote it",
        )
        kept = {name: value for name, value in values.items() if name != "format"}
        found: Observed = read(cls, kept, "observed")
        return found
