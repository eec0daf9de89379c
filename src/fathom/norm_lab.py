"""What a norm does to real activations, measured on PyTorch's own modules.

The activations are those that come into the batch norms of a CIFAR ResNet-20 of the zoo, with the
weights that a run with seed 0 starts from, for 512 handwritten digits of 8x8 pixels. They are taken
once, in training mode, with all digits in one batch: so the layers before a norm stay as they are
when it is given other batches, and what changes is that norm's doing alone.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice

import torch
from torch import Tensor, nn

from fathom.data.catalog import open_catalog
from fathom.data.load import load_dataset
from fathom.data.order import Order
from fathom.data.settings import AugmentSettings, DataSettings, NoCrop
from fathom.data.split import split_catalog
from fathom.layers import InstanceNorm2d
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model
from fathom.runtime import derive_seed, generator

NETWORK, SIDE, DIGITS = "cifar_resnet20", 8, 512
_SEED = 0
DRAWS = 200  # random batches of each size
_BUILDING = threading.Lock()  # the weights are drawn from PyTorch's common generator


@torch.no_grad()
def into_norms(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """(N, C, H, W) images -> what comes into each batch norm in training mode, by the norm's name.

    The model stays as it was.
    """
    model = copy.deepcopy(model).train()
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor]], None]:
        return lambda _, inputs: found.update({name: inputs[0].contiguous()})

    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_pre_hook(keep(name))
    model(images)
    return found


def digits_into_norms() -> Mapping[str, Tensor]:
    """The activations that this chapter tells of: (512, C, H, W) by the name of the norm."""
    with _BUILDING:
        return _digits_into_norms()


@cache
def _digits_into_norms() -> Mapping[str, Tensor]:
    settings = DataSettings(source="digits")
    chosen = split_catalog(open_catalog(settings), settings, choosing=False)
    augment = AugmentSettings(crop=NoCrop(), flip=False)
    dataset = load_dataset(chosen, settings, augment, image_size=SIDE, channels=1)
    views = dataset.splits["train"].views
    assert views is not None
    _, _, positions = next(Order(len(views), DIGITS, _SEED).steps(0))
    return into_norms(_network(), dataset.preprocess.normalise(views[positions]))


def _network() -> ImageClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(_SEED, "init"))
        return build_model(NETWORK, num_classes=10, in_channels=1)


def batches(maps: Tensor, batch_size: int) -> Iterator[Tensor]:
    """(P, C, H, W) -> (batch_size, C, H, W) without end, in the order of a run's steps."""
    for _, _, positions in Order(len(maps), batch_size, _SEED).steps(0):
        yield maps[positions]


def lone_norm(*, eps: float = 1e-5, momentum: float = 0.1) -> nn.BatchNorm2d:
    """A fresh batch norm of one channel, in training mode."""
    return nn.BatchNorm2d(1, eps=eps, momentum=momentum).requires_grad_(False)


def outputs(
    norm: nn.BatchNorm2d, batch: Tensor, *, gamma: float, beta: float
) -> tuple[Tensor, Tensor]:
    """(N, 1, H, W) -> the same normalised, and scaled by gamma and shifted by beta.

    In the norm's own mode; it stays as it was.
    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, Algorithms 1 and 2.
    """
    norm = copy.deepcopy(norm)
    normalised = norm(batch)
    norm.weight.fill_(gamma)
    norm.bias.fill_(beta)
    return normalised, norm(batch)


@dataclass(frozen=True)
class Moment:
    """Running statistics after some steps, and those of the batch that comes next.

    Variances divide by the number of values less one, as PyTorch's running variance does. gap: the
    root mean square by which this batch, evaluated now, differs from its training output.
    """

    running_mean: float
    running_var: float
    batch_mean: float
    batch_var: float
    gap: float


@torch.no_grad()
def catch_up(norm: nn.BatchNorm2d, batches: Iterable[Tensor]) -> list[Moment]:
    """Batches (N, 1, H, W) -> the statistics before each of them goes through in training mode.

    The norm has moved on afterwards. Source: Ioffe and Szegedy 2015, arXiv:1502.03167, Section 3.1.
    """
    moments = []
    for batch in batches:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, var = float(norm.running_mean), float(norm.running_var)
        evaluated = norm.eval()(batch)
        gap = float((evaluated - norm.train()(batch)).square().mean().sqrt())
        moments.append(Moment(mean, var, float(batch.mean()), float(batch.var()), gap))
    return moments


def after_steps(norm: nn.BatchNorm2d, maps: Tensor, *, batch_size: int, steps: int) -> None:
    """Let so many batches of (P, 1, H, W) maps go through the norm in training mode."""
    catch_up(norm, islice(batches(maps, batch_size), steps))


@torch.no_grad()
def from_instance(batch: Tensor, eps: float) -> float:
    """(N, 1, H, W) -> the largest difference between batch norm in training and instance norm."""
    alone = InstanceNorm2d(1, eps=eps)
    return float((lone_norm(eps=eps)(batch) - alone(batch)).abs().max())


def refused(channels: int) -> str:
    """What PyTorch says to one image of one pixel in training mode."""
    try:
        nn.BatchNorm2d(channels)(torch.zeros(1, channels, 1, 1))
    except ValueError as error:
        return str(error)
    raise AssertionError("PyTorch normalises a single value")


def reach(
    norm: nn.Module, shape: tuple[int, int, int, int], *, image: int, channel: int
) -> tuple[Tensor, int]:
    """(N, C) whether any value of an image's channel has a part in one value that comes out, and
    how many values have: those that the norm averages over.

    It is read off a backward pass in training mode: the gradient of that one output is zero
    wherever the norm does not look.
    """
    x = torch.randn(shape, generator=generator(_SEED, "reach"), dtype=torch.float64)
    out: Tensor = copy.deepcopy(norm).double().train()(x.requires_grad_())
    (gradient,) = torch.autograd.grad(out[image, channel, 0, 0], x)
    seen = gradient != 0
    return seen.any(dim=(2, 3)), int(seen.sum())


@torch.no_grad()
def noise_of_batches(maps: Tensor, batch_size: int) -> tuple[float, float]:
    """(P, H, W) of one channel -> what 200 random batches of it make of batch norm.

    The standard deviation of the mean that is subtracted, and the root mean square between outputs
    in training and those with the statistics of all P images. Images are drawn with replacement,
    so that a large batch is no more than a sample either.
    """
    order = generator(_SEED, "random batches", batch_size)
    drawn = maps[torch.randint(len(maps), (batch_size, DRAWS), generator=order)]
    whole, each = nn.BatchNorm2d(1, momentum=1.0), nn.BatchNorm2d(DRAWS, momentum=1.0)
    whole(maps[:, None])
    trained = each(drawn)  # a batch in the place of each channel
    gap = trained - whole.eval()(drawn.reshape(-1, 1, *maps.shape[1:])).view_as(drawn)
    assert each.running_mean is not None
    return float(each.running_mean.std()), float(gap.square().mean().sqrt())


@torch.no_grad()
def spread_of_image_means(maps: Tensor, groups: int, channel: int) -> float:
    """(P, C, H, W) -> the standard deviation over the images of the mean that a group norm takes
    from a channel. One group is layer norm, a group for each channel instance norm.

    It is the same in any batch, as no image sees another.
    """
    count, channels, height, width = maps.shape
    _, means, _ = torch.native_group_norm(
        maps, None, None, count, channels, height * width, groups, 1e-5
    )
    return float(means[:, channel * groups // channels].std())


@torch.no_grad()
def gap_of_images(norm: nn.Module, maps: Tensor) -> float:
    """(N, C, H, W) -> the root mean square between a norm's output in training and evaluation."""
    return float((norm.train()(maps) - norm.eval()(maps)).square().mean().sqrt())
