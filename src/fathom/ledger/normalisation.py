"""Normalisation: good scales at the start, and statistics over the right axes.

The norms are PyTorch's; what they should give is computed beside them from the papers' formulas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.ledger.claim import Claim, Judgement, Verdict, worst
from fathom.ledger.recorded import by_experiment
from fathom.runtime import generator

_EPS = 1e-5
_EXAMPLE = {
    "mean": 5.0,
    "var": 5.0,
    "xhat": [-1.34, -0.45, 0.45, 1.34],
    "y": [-1.68, 0.10, 1.90, 3.68],
}


def _draws(*shape: int, name: str) -> Tensor:
    """Seeded normal numbers in float64."""
    return torch.randn(shape, generator=generator("claims", name), dtype=torch.float64)


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


def _through_linear(std: float, width: int = 256, depth: int = 50) -> float:
    """How the root mean square of activations changes through 50 layers of 256 units and ReLU."""
    x = _draws(64, width, name="input").relu()
    start = _rms(x)
    for layer in range(depth):
        weight = _draws(width, width, name=f"layer {layer}")
        x = (x @ (weight * std).T).relu()
    return _rms(x) / start


def _through_conv(inputs: int, channels: int = 32, depth: int = 10) -> float:
    """The same through ten 3x3 convolutions with std sqrt(2 / inputs), wrapped at the border."""
    x = _draws(8, channels, 8, 8, name="maps").relu()
    start = _rms(x)
    for layer in range(depth):
        weight = _draws(channels, channels, 3, 3, name=f"kernel {layer}")
        around = F.pad(x, (1, 1, 1, 1), mode="circular")
        x = F.conv2d(around, weight * math.sqrt(2 / inputs)).relu()
    return _rms(x) / start


def _kaiming() -> Judgement:
    """Root mean square of activations after a deep ReLU stack over that before, fresh weights.

    D_in is the number of inputs of one unit: C in a linear layer, k * k * C in a convolution.
    """
    found = {
        "50 linear layers, sqrt(2 / D)": _through_linear(math.sqrt(2 / 256)),
        "50 linear layers, sqrt(1 / D)": _through_linear(math.sqrt(1 / 256)),
        "50 linear layers, 0.01": _through_linear(0.01),
        "10 convolutions, D = 9 C": _through_conv(9 * 32),
        "10 convolutions, D = C": _through_conv(32),
    }
    kept, halved, tiny, conv_kept, conv_wrong = found.values()
    holds = all(1 / 10 < v < 10 for v in (kept, conv_kept)) and max(halved, tiny) < 1e-6
    return Judgement(
        "demonstrated" if holds and conv_wrong > 1e3 else "not-reproduced",
        found,
        "A ReLU drops half of the mean square and the factor 2 gives it back, so that the scale "
        "stays the same up to chance; with sqrt(1 / D) the mean square halves 50 times. D_in of a "
        "convolution is kernel height x width x channels: with the channels alone every 3x3 layer "
        "grows threefold.",
        "He et al. 2015, arXiv:1502.01852, Section 2.2; random weights of that deviation",
    )


def batch_norm(
    x: Sequence[float], gamma: float, beta: float, *, eps: float = _EPS
) -> tuple[float, float, list[float], list[float]]:
    """Mean, variance, x_hat and y of one feature over a batch.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, Algorithm 1; the variance divides by the
    number of values.
    """
    mean = sum(x) / len(x)
    var = sum((v - mean) ** 2 for v in x) / len(x)
    hat = [(v - mean) / math.sqrt(var + eps) for v in x]
    return mean, var, hat, [gamma * h + beta for h in hat]


def _worked_example() -> Judgement:
    """Algorithm 1 on [2, 4, 6, 8], beside BatchNorm1d; lists agree to two decimals or are wrong."""
    x = [2.0, 4.0, 6.0, 8.0]
    mean, var, hat, y = batch_norm(x, 2, 1)
    norm = nn.BatchNorm1d(1, eps=_EPS, dtype=torch.float64)
    nn.init.constant_(norm.weight, 2.0)
    nn.init.constant_(norm.bias, 1.0)
    ours = norm(torch.tensor(x, dtype=torch.float64)[:, None])[:, 0].tolist()
    assert max(abs(a - b) for a, b in zip(ours, y, strict=True)) < 1e-9
    computed: dict[str, float | list[float]] = {
        "mean": mean,
        "var": var,
        "xhat": [round(v, 4) for v in hat],
        "y": [round(v, 4) for v in y],
        "y from x_hat rounded first": [round(2 * round(h, 2) + 1, 2) for h in hat],
    }
    verdicts: dict[str, Verdict] = {
        "mean": "exact" if mean == _EXAMPLE["mean"] else "wrong",
        "var": "exact" if var == _EXAMPLE["var"] else "wrong",
        "xhat": _to_cents(_EXAMPLE["xhat"], hat),
        "y": _to_cents(_EXAMPLE["y"], y),
    }
    return Judgement(
        worst(verdicts),
        computed,
        f"Mean, variance and x_hat are right; the inner two results are {y[1]:.2f} and {y[2]:.2f}, "
        "not 0.10 and 1.90. Those come from rounding x_hat to two decimals and multiplying after.",
        "fathom.ledger.normalisation.batch_norm and torch.nn.BatchNorm1d; Ioffe and Szegedy 2015, "
        "arXiv:1502.03167, Algorithm 1",
    )


def _to_cents(stated: object, computed: Sequence[float]) -> Verdict:
    """Whether every number rounds to the two decimals that were written."""
    assert isinstance(stated, list)
    pairs = zip(stated, computed, strict=True)
    return "rounded" if all(abs(s - c) <= 0.005 + 1e-9 for s, c in pairs) else "wrong"


def _identity() -> Judgement:
    """The largest change of maps of mean 3 and deviations from 0.01 to 100 with beta the batch's
    mean and gamma its deviation, with epsilon under the root and without; relative to the
    deviation."""
    scales = torch.tensor([0.01, 1.0, 100.0], dtype=torch.float64)
    maps = 3 + _draws(16, 3, 4, 4, name="identity") * scales.view(1, 3, 1, 1)
    mean = maps.mean((0, 2, 3))
    var = maps.var((0, 2, 3), correction=0)
    found = {}
    with torch.no_grad():
        for name, under_root in (("sqrt(var + epsilon)", _EPS), ("sqrt(var)", 0.0)):
            norm = nn.BatchNorm2d(3, eps=_EPS, dtype=torch.float64)
            norm.weight.copy_((var + under_root).sqrt())
            norm.bias.copy_(mean)
            change = (norm(maps) - maps).abs().amax((0, 2, 3)) / var.sqrt()
            found[f"largest change, gamma = {name}"] = [float(f"{c:.2g}") for c in change]
    exact, nearly = found.values()
    holds = max(exact) < 1e-9 and nearly[1] < 1e-3
    return Judgement(
        "demonstrated" if holds else "not-reproduced",
        {"deviations": scales.tolist(), **found},
        "Exactly the identity comes out when gamma also undoes the epsilon under the root, that "
        "is gamma = sqrt(var + epsilon). With sigma alone it is the identity up to epsilon, unless "
        "the variance is itself nearly as small as epsilon.",
        "torch.nn.BatchNorm2d in training mode; Ioffe and Szegedy 2015, arXiv:1502.03167, "
        "Section 3",
    )


def _running_stats() -> Judgement:
    """40 batches of mean 3 and deviation 2: PyTorch's running values against the literal averages,
    r = 0.9 r + 0.1 b (b with the variance that divides by n - 1), and the output of each mode
    against the statistics that it should use."""
    norm = nn.BatchNorm2d(1, eps=_EPS, dtype=torch.float64)
    mean, var = 0.0, 1.0
    gaps = []
    for step in range(40):
        batch = 3 + 2 * _draws(8, 1, 4, 4, name=f"batch {step}")
        out = norm.train()(batch)
        mean = 0.9 * mean + 0.1 * float(batch.mean())
        var = 0.9 * var + 0.1 * float(batch.var(correction=1))
        by_batch = (batch - batch.mean()) / (batch.var(correction=0) + _EPS).sqrt()
        gaps.append(float((out - by_batch).detach().abs().max()))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gaps.append(abs(float(norm.running_mean) - mean))
    gaps.append(abs(float(norm.running_var) - var))
    by_average = (batch - mean) / math.sqrt(var + _EPS)
    gaps.append(float((norm.eval()(batch) - by_average).detach().abs().max()))
    found = {
        "running mean": round(mean, 4),
        "running variance": round(var, 4),
        "mean of the last batch": round(float(batch.mean()), 4),
        "largest gap from the formulas": float(f"{max(gaps):.1g}"),
    }
    return Judgement(
        "demonstrated" if max(gaps) < 1e-9 and abs(mean - 3) < 0.2 else "not-reproduced",
        found,
        "Training normalises with the batch at hand and moves the averages a tenth of the way "
        "towards it; evaluation uses the averages and leaves them alone. PyTorch's momentum is the "
        "weight of the new batch, and the running variance divides by n - 1 where the batch is "
        "normalised with n.",
        "torch.nn.BatchNorm2d; Ioffe and Szegedy 2015, arXiv:1502.03167, Section 3.1",
    )


def _eval_bug() -> Judgement:
    """Batch norm in training mode on a batch of one: a linear layer's 8 features and maps of 1x1
    pixel, where a channel has one value, and maps of 4x4, where it has 16.

    What a single value would become is Algorithm 1 by hand; 4x4 maps are compared with instance
    norm and with the running averages of 50 batches before.
    """
    refused = [_refuses(nn.BatchNorm1d(8), (1, 8)), _refuses(nn.BatchNorm2d(8), (1, 8, 1, 1))]
    _, var, _, by_hand = batch_norm([7.0], 1.0, 0.0)
    norm = nn.BatchNorm2d(8, dtype=torch.float64)
    means = 3 * _draws(1, 8, 1, 1, name="means")
    for step in range(50):
        norm(means + _draws(32, 8, 4, 4, name=f"before {step}"))
    image = means + 2 + _draws(1, 8, 4, 4, name="one image")
    with torch.no_grad():
        wanted, got, brighter = norm.eval()(image), norm.train()(image), norm(image * 3 + 5)
    alone = nn.InstanceNorm2d(8, dtype=torch.float64)(image)
    found = {
        "variance of one value": var,
        "output for it, whatever it is": by_hand[0],
        "PyTorch refuses a linear layer, 1x1 maps": refused,
        "smallest variance of a 4x4 channel": float(image.var((2, 3), correction=0).min()),
        "4x4: distance from instance norm": float(f"{(got - alone).abs().max():.1g}"),
        "4x4: mean change from the running averages": float((got - wanted).abs().mean()),
        "4x4: change when the map is 3 times as strong, plus 5": float(
            (got - brighter).abs().max()
        ),
    }
    literal = var == 0 and all(refused)
    maps = (got - alone).abs().max() < 1e-6 and (got - wanted).abs().mean() > 0.5
    return Judgement(
        "ambiguous" if literal and maps else "not-reproduced",
        found,
        "The variance is zero only where a channel has a single value, behind a linear layer or on "
        "1x1 maps: every input would become beta, and PyTorch raises an error instead. With "
        "H x W > 1 it is not zero and nothing fails, which is worse: the picture is normalised by "
        "itself, as in instance norm, and the strength of each channel is silently lost.",
        "torch.nn.BatchNorm1d, BatchNorm2d and InstanceNorm2d",
    )


def _refuses(norm: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether PyTorch raises an error for this input in training mode."""
    try:
        norm(torch.ones(shape))
    except ValueError:
        return True
    return False


def _norm_table() -> Judgement:
    """Each norm in training mode on maps (16, 8, 6, 6), channels in two groups. Its output has mean
    0 and variance 1 over the axes named, and no smaller set of axes; and the first image is run
    again beside other images: does its output change?"""
    maps = 5 + 3 * _draws(16, 8, 6, 6, name="table")
    others = torch.cat([maps[:1], 2 * maps[1:] - 7])
    norms: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "BN": (nn.BatchNorm2d(8), (0, 3, 4)),
        "LN": (nn.LayerNorm([8, 6, 6]), (1, 2, 3, 4)),
        "IN": (nn.InstanceNorm2d(8), (3, 4)),
        "GN": (nn.GroupNorm(2, 8), (2, 3, 4)),
    }
    names = ("images", "groups", "channels of a group", "H", "W")
    found: dict[str, object] = {}
    holds = True
    for name, (norm, axes) in norms.items():
        norm.double()
        out, beside = norm(maps), norm(others)
        smaller = [axes[:i] + axes[i + 1 :] for i in range(len(axes))]
        right = _is_flat(out, axes) and not any(_is_flat(out, less) for less in smaller)
        depends = not torch.allclose(out[0], beside[0])
        found[name] = {
            "statistics over": [names[axis] for axis in axes],
            "depends on the batch": depends,
        }
        holds &= right and depends == (name == "BN")
    in_evaluation = norms["BN"][0].eval()
    found["BN in evaluation depends on the batch"] = not torch.allclose(
        in_evaluation(maps)[0], in_evaluation(others)[0]
    )
    return Judgement(
        "demonstrated" if holds else "not-reproduced",
        found,
        "Only batch norm makes an image depend on those beside it, and only in training. Its "
        "statistics are over the images and the pixels of a channel, group norm's over the pixels "
        "of its channels; for maps, layer norm takes all of an image, or in ConvNeXt the channels "
        "of each pixel.",
        "torch.nn.BatchNorm2d, LayerNorm, InstanceNorm2d and GroupNorm; Wu and He 2018, "
        "arXiv:1803.08494, Figure 2",
    )


def _is_flat(maps: Tensor, axes: tuple[int, ...]) -> bool:
    """Whether mean and variance are 0 and 1 over these axes of (N, groups, C / groups, H, W)."""
    grouped = maps.detach().view(maps.shape[0], 2, -1, *maps.shape[2:])
    centred = float(grouped.mean(axes).abs().max()) < 1e-4
    return centred and float((grouped.var(axes, correction=0) - 1).abs().max()) < 1e-4


CLAIMS = (
    Claim(
        "init.kaiming",
        "behaviour",
        "Weights of deviation sqrt(2 / D_in) keep activations on one scale through a deep ReLU "
        "network at the start",
        {},
        _kaiming,
    ),
    Claim(
        "bn.worked_example",
        "computed",
        "[2, 4, 6, 8] has mean 5 and variance 5; normalised it is [-1.34, -0.45, 0.45, 1.34], and "
        "with gamma 2 and beta 1 [-1.68, 0.10, 1.90, 3.68]",
        _EXAMPLE,
        _worked_example,
    ),
    Claim(
        "bn.identity",
        "behaviour",
        "With gamma the batch's deviation and beta its mean batch norm is the identity",
        {},
        _identity,
    ),
    Claim(
        "bn.running_stats",
        "behaviour",
        "Training normalises with the batch and keeps moving averages; inference uses these",
        {},
        _running_stats,
    ),
    Claim(
        "bn.eval_bug",
        "behaviour",
        "Batch statistics on a batch of one break in evaluation, because their variance is zero",
        {},
        _eval_bug,
    ),
    Claim(
        "bn.placement",
        "experiment",
        "Batch norm before the ReLU and after it work about equally well",
        {},
        by_experiment(
            "bn.placement",
            "bn-placement",
            "Ioffe and Szegedy 2015, arXiv:1502.03167, Section 3.2, before; Mishkin et al. 2016, "
            "arXiv:1606.02228, after",
            "It will show one network with both orders under one recipe and several seeds.",
        ),
    ),
    Claim(
        "norm.table",
        "behaviour",
        "Statistics, and whether they depend on the batch: BN over the batch for each channel, "
        "yes; LN over the features, IN over H and W, GN over groups of channels, no",
        {},
        _norm_table,
    ),
    Claim(
        "bn.covariate_shift",
        "experiment",
        "Without normalisation the inputs of a layer drift while it trains; with batch norm they "
        "stay put",
        {},
        by_experiment(
            "bn.covariate_shift",
            "covariate-shift",
            "Ioffe and Szegedy 2015, arXiv:1502.03167, Section 4.1; Santurkar et al. 2018, "
            "arXiv:1805.11604, doubt that this is why batch norm helps",
            "It will show mean and deviation of layers' inputs over training, with batch norm and "
            "without.",
        ),
    ),
)
