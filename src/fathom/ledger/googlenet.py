"""GoogLeNet: what a module costs with and without 1x1 convolutions, and its side classifiers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fathom.costs import cost
from fathom.ledger.claim import Claim, Judgement, agreement, among, worst
from fathom.ledger.evidence import (
    conv_weights,
    meta_network,
    network_macs,
    network_params,
    params,
    seeded,
)
from fathom.ledger.recorded import by_experiment
from fathom.models.base import TrainingLogits
from fathom.models.googlenet import Inception
from fathom.models.registry import build_model
from fathom.training.choices import CrossEntropy
from fathom.training.loss import training_loss

_SIDE = 28  # pixels of the map in the examples
_CHANNELS = 256
_NAIVE = {"channels": 1024, "params_5x5": 1.6e6}
_ONE_BY_ONE = {"params": 16384}
_REDUCE = {"factor": 4}
_EXAMPLE = {
    "direct_params": 819200,
    "direct": 642e6,
    "p1": 8192,
    "p2": 102400,
    "f1": 6.4e6,
    "f2": 80e6,
    "total": 86.4e6,
    "ratio": 7.4,
}
_SIZE = {"modules": 9, "layers": 22, "params": 5e6, "flops": 1.5e9}


def _conv(in_channels: int, out_channels: int, kernel: int) -> nn.Conv2d:
    """A convolution without bias that keeps the size, on the meta device."""
    padding = kernel // 2
    return nn.Conv2d(in_channels, out_channels, kernel, padding=padding, bias=False, device="meta")


def _macs(conv: nn.Conv2d) -> int:
    """Multiply-adds of a convolution on a map of the example's size."""
    return cost(conv, image_size=_SIDE, in_channels=conv.in_channels).macs


def _naive() -> Judgement:
    """1x1, 3x3, 5x5 with 256 outputs each, and a pooling, put together; weights without biases."""
    branches = (
        *(_conv(_CHANNELS, _CHANNELS, kernel) for kernel in (1, 3, 5)),
        nn.MaxPool2d(3, stride=1, padding=1),
    )
    images = torch.empty(1, _CHANNELS, _SIDE, _SIDE, device="meta")
    together = torch.cat([branch(images) for branch in branches], 1)
    found = {"channels": together.shape[1], "params_5x5": conv_weights(branches[2])}
    return Judgement(
        worst({name: agreement(_NAIVE[name], value) for name, value in found.items()}),
        found,
        "The pooling hands on all 256 channels that came, so the module has four times as many "
        "channels as its input. The next module would have to read all of them: this is why the "
        "1x1 convolutions are there.",
        "four branches put together on the meta device",
    )


def _one_by_one() -> Judgement:
    """Weights of the layer, and its multiply-adds over the pixels of its map."""
    conv = _conv(_CHANNELS, 64, 1)
    per_pixel = _macs(conv) // _SIDE**2
    weights = conv_weights(conv)
    right = weights == per_pixel == _ONE_BY_ONE["params"]
    return Judgement(
        "ambiguous" if right else "wrong",
        {"weights": weights, "macs_per_position": per_pixel, "macs at 28x28": _macs(conv)},
        "The number is right twice over, but its unit is neither: a convolution uses the same "
        f"{weights:,} weights at every position, and does {per_pixel:,} multiply-adds at each one. "
        "There are no parameters per position.",
        "fathom.cost of a 1x1 convolution from 256 to 64 channels",
    )


def _reduce() -> Judgement:
    """Multiply-adds of a 5x5 from 256 channels, over those of a 1x1 to 64 and a 5x5 from there."""
    alone, with_reduction = {}, {}
    for out in (256, 128, 64):
        direct, last = _macs(_conv(_CHANNELS, out, 5)), _macs(_conv(64, out, 5))
        alone[out] = direct / last
        with_reduction[f"with the 1x1, {out} out"] = direct / (
            last + _macs(_conv(_CHANNELS, 64, 1))
        )
    found = {"the 5x5 alone": alone[256], **with_reduction}
    least = min(with_reduction.values())
    return Judgement(
        among(_REDUCE["factor"], found.values()),
        found,
        "The 5x5 convolution itself costs exactly a quarter, but the 1x1 convolution before it "
        f"costs something too: together they are {max(with_reduction.values()):.2f} times cheaper "
        f"with 256 outputs and {least:.2f} times with 64, and the source does not say how many.",
        "fathom.cost of the convolutions on a 28x28 map",
    )


def _bottleneck() -> Judgement:
    """Weights and multiply-adds on a 28x28 map, without biases."""
    direct, first, second = _conv(256, 128, 5), _conv(256, 32, 1), _conv(32, 128, 5)
    total = _macs(first) + _macs(second)
    found: dict[str, float] = {
        "direct_params": conv_weights(direct),
        "direct": _macs(direct),
        "p1": conv_weights(first),
        "p2": conv_weights(second),
        "f1": _macs(first),
        "f2": _macs(second),
        "total": total,
        "ratio": _macs(direct) / total,
    }
    verdicts = {name: agreement(_EXAMPLE[name], value) for name, value in found.items()}
    return Judgement(
        worst(verdicts),
        found,
        f"The two steps take {total / 1e6:.1f} million; 86.4 is 6.4 + 80, added after rounding, "
        "and the ratio of 7.4 holds. All of these are multiply-adds: in FLOPs each number is twice "
        "as large, and the ratio the same.",
        "fathom.cost of the convolutions on a 28x28 map",
    )


def _size() -> Judgement:
    """Blocks, weighted layers on the longest path, parameters and multiply-adds in three forms."""
    model = meta_network("googlenet_2014")
    blocks = [m for m in model.modules() if isinstance(m, Inception)]
    stem = sum(isinstance(m, nn.Conv2d) for m in model.stem.modules())
    counts = {
        "Table 1": network_params("googlenet_2014"),
        "torchvision's form": network_params("googlenet"),
        "Table 1 without the classifier": network_params("googlenet_2014") - params(model.head),
    }
    macs = {
        "Table 1, macs": network_macs("googlenet_2014"),
        "torchvision's form, macs": network_macs("googlenet"),
    }
    flops = {name.replace("macs", "flops"): 2 * value for name, value in macs.items()}
    found = {"modules": len(blocks), "layers": stem + sum(map(_longest, blocks)) + 1}
    verdicts = {name: agreement(_SIZE[name], value) for name, value in found.items()}
    verdicts["params"] = among(_SIZE["params"], counts.values())
    verdicts["flops"] = among(_SIZE["flops"], (*macs.values(), *flops.values()))
    return Judgement(
        worst(verdicts),
        {**found, "params": counts, "macs and flops": {**macs, **flops}},
        f"Modules and layers agree, but there are {counts['Table 1'] / 1e6:.1f} million "
        "parameters: 5 million is probably AlexNet's 60 million over 12, a factor that the "
        "paper's introduction gives, while its Table 1 adds up to 6.8. The 1.5 billion are "
        "multiply-adds.",
        "fathom.models.googlenet; arXiv:1409.4842, Section 1 and Table 1",
    )


def _longest(block: Inception) -> int:
    """Convolutions on the longest branch."""
    return max(sum(isinstance(m, nn.Conv2d) for m in b.modules()) for b in block.branches)


def _auxiliary() -> Judgement:
    """The loss of training against its literal sum; logits of evaluation with ruined side heads."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 32, 32, generator=rng)
    targets = torch.tensor([3, 7])
    with seeded():
        model = build_model("googlenet_2014", num_classes=10, dropout=0.0, auxiliary_dropout=0.0)
    with torch.no_grad():
        loss, _ = training_loss(model.train(), images, targets, CrossEntropy())
        output = model(images)
        assert isinstance(output, TrainingLogits)
        losses = [F.cross_entropy(x, targets) for x in (output.logits, *output.auxiliary)]
        before = model.eval()(images)
        assert isinstance(model.auxiliary, nn.ModuleList)
        for parameter in model.auxiliary.parameters():
            parameter.fill_(float("nan"))
        after = model(images)
    weight = ((loss - losses[0]) / sum(losses[1:])).item()
    gone = isinstance(before, Tensor) and torch.equal(before, after)
    full = params(meta_network("googlenet_2014"))
    kept = network_params("googlenet_2014")
    return Judgement(
        "demonstrated" if gone and abs(weight - 0.3) < 1e-5 else "not-reproduced",
        {
            "heads": len(losses) - 1,
            "weight": round(weight, 6),
            "unused in evaluation": gone,
            "params in training": full,
            "params in evaluation": kept,
        },
        "The loss of training is that of the last classifier plus 0.3 times that of each side "
        "head. In evaluation the heads never run: their weights can be ruined and the logits stay "
        f"the same, so the {(full - kept) / 1e6:.1f} million parameters in them can be dropped.",
        "fathom.training.loss and fathom.models.googlenet; arXiv:1409.4842, Section 5",
    )


CLAIMS = (
    Claim(
        "inception.naive",
        "computed",
        "A module without reductions, 256 channels in and 256 from each branch, hands on 1,024 "
        "channels, and its 5x5 convolution alone has 1.6 million parameters",
        _NAIVE,
        _naive,
    ),
    Claim(
        "inception.one_by_one",
        "computed",
        "A 1x1 convolution from 256 to 64 channels takes 16,384 'parameters per spatial position'",
        _ONE_BY_ONE,
        _one_by_one,
    ),
    Claim(
        "inception.reduce_64",
        "computed",
        "A 5x5 convolution becomes four times cheaper where 256 channels are first reduced to 64",
        _REDUCE,
        _reduce,
    ),
    Claim(
        "inception.bottleneck_example",
        "computed",
        "On a 28x28x256 map a 5x5 convolution to 128 channels takes 819,200 parameters and 642 "
        "million FLOPs; through 32 channels 8,192 + 102,400 parameters and 6.4 + 80 = 86.4 million "
        "FLOPs, 7.4 times less",
        _EXAMPLE,
        _bottleneck,
    ),
    Claim(
        "googlenet.size",
        "computed",
        "GoogLeNet: nine Inception modules, 22 layers, global average pooling, 5 million "
        "parameters, 1.5 billion FLOPs",
        _SIZE,
        _size,
    ),
    Claim(
        "googlenet.aux",
        "behaviour",
        "Classifiers in the middle add 0.3 times their loss in training and are taken away for "
        "testing",
        {"weight": 0.3},
        _auxiliary,
    ),
    Claim(
        "googlenet.aux_effect",
        "experiment",
        "The classifiers in the middle regularise more than they help the gradient",
        {},
        by_experiment(
            "googlenet.aux_effect",
            "aux-heads",
            "claimed in Szegedy et al. 2015, arXiv:1512.00567, Section 4",
            "It trains the network with and without them and compares early gradients, the "
            "beginning of training, and the errors at the end.",
        ),
    ),
)
