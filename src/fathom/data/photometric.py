"""Changes of colour and light, and holes: each image of a batch its own draw, no Python per image.

Colours are floating-point numbers from 0 to 1. Brightness, contrast, saturation and hue are those
of torchvision. Draws come from a generator on the CPU, so that every device sees the same ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fathom.errors import require

# Eigenvalues of the covariance of ImageNet's training pixels (from 0 to 1) and its eigenvectors as
# columns over R, G, B. Source: facebookarchive/fb.resnet.torch, datasets/imagenet.lua.
IMAGENET_EIGENVALUES = (0.2175, 0.0188, 0.0045)
IMAGENET_EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
_LUMA = (0.2989, 0.587, 0.114)  # torchvision's weights of R, G, B; they sum to 0.9999


def colour_jitter(
    images: Tensor,
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.0,
    rng: torch.Generator,
) -> Tensor:
    """(N, C, H, W) in [0, 1] -> the same: four changes of colour, in an order of each image's own.

    Factors are uniform in [max(0, 1 - s), 1 + s] for a strength s, shifts of hue in [-hue, hue]
    turns, at most half a turn. Source: Howard 2013, arXiv:1312.5402, Section 2.2, in the form of
    torchvision's ColorJitter; there one image at a time.
    """
    _check(images)
    strengths = (brightness, contrast, saturation)
    require(min(strengths) >= 0, f"strengths of colour jitter are {strengths}; use 0 or more")
    require(0 <= hue <= 0.5, f"hue is {hue:g}; it is a part of a turn, from 0 to 0.5")
    ranges = [(max(0.0, 1 - s), 1 + s) for s in strengths] + [(-hue, hue)]
    low, high = torch.tensor(ranges).T[:, :, None]
    amounts = low + torch.rand((4, len(images)), generator=rng) * (high - low)
    order = torch.rand((len(images), 4), generator=rng).argsort(1)
    changes = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
    images = images.clone()
    for place in range(4):
        for kind, change in enumerate(changes):
            chosen = (order[:, place] == kind).nonzero().flatten()
            if ranges[kind][0] < ranges[kind][1] and len(chosen):
                where = chosen.to(images.device)
                images[where] = change(images[where], amounts[kind, chosen])
    return images


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """(N, C, H, W), (N,) -> (N, C, H, W): every value times its image's factor, kept in [0, 1]."""
    return (images * _column(factors, images)).clamp(0, 1)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """(N, C, H, W), (N,) -> (N, C, H, W): away from the mean gray of the image, or towards it."""
    return _from(images, _gray(images).mean((1, 2, 3), keepdim=True), factors)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """(N, C, H, W), (N,) -> (N, C, H, W): away from the gray of each pixel, or towards it.

    Gray images have no saturation and stay as they are.
    """
    return images if images.shape[1] == 1 else _from(images, _gray(images), factors)


def adjust_hue(images: Tensor, turns: Tensor) -> Tensor:
    """(N, C, H, W), (N,) -> (N, C, H, W): hues turned round the circle of colours, 0.5 half way.

    The largest and the smallest channel of a pixel, and so its saturation, stay what they are.
    Gray images stay as they are.
    """
    if images.shape[1] == 1:
        return images
    high, low = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    spread = high - low
    shares = (images - low) / spread.where(spread > 0, torch.ones_like(spread))
    red, green, blue = shares[:, :1], shares[:, 1:2], shares[:, 2:]
    sixths = torch.where(green == 1, 2 + blue - red, 4 + red - green)
    sixths = torch.where(red == 1, green - blue, sixths)
    turned = sixths + 6 * _column(turns, images)
    # Each channel is high within one sixth of a turn of its colour, low beyond two, linear between.
    centres = torch.tensor((0.0, 2.0, 4.0)).to(images).view(1, 3, 1, 1)
    distance = (turned - centres + 3).remainder(6) - 3
    return low + spread * (2 - distance.abs()).clamp(0, 1)


def pca_lighting(
    images: Tensor,
    *,
    std: float = 0.1,
    rng: torch.Generator,
    eigenvalues: tuple[float, ...] = IMAGENET_EIGENVALUES,
    eigenvectors: tuple[tuple[float, ...], ...] = IMAGENET_EIGENVECTORS,
) -> Tensor:
    """(N, 3, H, W) -> (N, 3, H, W): one colour added to each image, along the data's main colours.

    The colour is the sum of eigenvectors, each times its eigenvalue and a draw from N(0, std).
    Nothing is clamped. Source: Krizhevsky et al. 2012, Section 4.1 (the eigenvalue itself, not its
    root). `principal_colours` measures them on other data.
    """
    _check(images)
    require(images.shape[1] == 3, f"images have {images.shape[1]} channels; lighting needs R, G, B")
    draws = std * torch.randn((len(images), 3), generator=rng)
    colours = draws * torch.tensor(eigenvalues) @ torch.tensor(eigenvectors).T
    return images + colours.to(images)[:, :, None, None]


def principal_colours(images: Tensor) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """(N, C, H, W) in [0, 1] -> eigenvalues of the covariance of its pixels, the largest first, and
    eigenvectors as columns, for `pca_lighting`."""
    pixels = images.double().transpose(0, 1).flatten(1)
    values, vectors = torch.linalg.eigh(torch.cov(pixels, correction=0))
    return tuple(values.flip(0).tolist()), tuple(tuple(row) for row in vectors.flip(1).tolist())


def cutout(images: Tensor, *, size: int, rng: torch.Generator) -> Tensor:
    """(N, C, H, W) -> (N, C, H, W): a square of zeros around a random pixel of each image.

    What of the square lies outside the image is lost, so that the hole is often smaller. On
    normalised images zero is the mean colour. Source: DeVries and Taylor 2017, arXiv:1708.04552,
    Section 3. Departure: a square of odd size has that size, where the paper's code takes one less.
    """
    require(size >= 1, f"the size of cutout is {size} pixels; use 1 or more")
    height, width = images.shape[2:]
    top = torch.randint(height, (len(images), 1), generator=rng) - size // 2
    left = torch.randint(width, (len(images), 1), generator=rng) - size // 2
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top) & (rows < top + size)
    in_columns = (columns >= left) & (columns < left + size)
    hole = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    return images.clone().masked_fill_(hole.to(images.device), 0)


def _from(images: Tensor, origin: Tensor, factors: Tensor) -> Tensor:
    """origin + factor * (images - origin), kept in [0, 1]."""
    column = _column(factors, images)
    return (images * column + origin * (1 - column)).clamp(0, 1)


def _gray(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1, H, W): how light each pixel is."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor(_LUMA).to(images).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def _column(values: Tensor, images: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1), where the images are and of their type."""
    return values.to(images)[:, None, None, None]


def _check(images: Tensor) -> None:
    require(
        images.is_floating_point() and images.shape[1] in (1, 3),
        f"images are {images.dtype} of {images.shape[1]} channels; colours need floating-point "
        "images from 0 to 1 with 1 or 3 channels",
    )
