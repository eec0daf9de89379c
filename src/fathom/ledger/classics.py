"""AlexNet and VGG: what they are made of, and what they cost."""

from __future__ import annotations

import torch
from torch import nn

from fathom.ledger.claim import Claim, Judgement, agreement, among, worst
from fathom.ledger.evidence import conv_weights, meta_network, network_macs, network_params, params
from fathom.ledger.recorded import by_experiment
from fathom.models.vgg import Block

_MEBIBYTE = 2**20
_ALEXNET = {"conv": 5, "fc": 3, "params": 62e6}
_FIELD = {"three": 7}
_STACK = {"stack": 27, "single": 49}
_VGG16 = {
    "first_conv": 1728,
    "last_conv": 2359296,
    "first_fc": 102e6,
    "fc": 124e6,
    "total": 138e6,
    "conv": 13,
}
_VGG16_COST = {"flops": 15.5e9, "megabytes": 528}


def _alexnet_shape() -> Judgement:
    """Layers with weights and kernels of the 2012 network; its parameters in three forms."""
    model = meta_network("alexnet_2012")
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    counts = {
        "in two towers, as in the paper": network_params("alexnet_2012"),
        "as one tower of 2014": network_params("alexnet"),
        "as in the paper, not split": network_params("alexnet_2012", groups=1),
    }
    found = {
        "conv": len(convs),
        "fc": sum(isinstance(m, nn.Linear) for m in model.modules()),
    }
    verdicts = {name: agreement(_ALEXNET[name], value) for name, value in found.items()}
    verdicts["params"] = among(_ALEXNET["params"], counts.values())
    return Judgement(
        worst(verdicts),
        {**found, "kernels": [conv.kernel_size[0] for conv in convs], "params": counts},
        f"The network of 2012 was cut into two towers for two GPUs, which leaves "
        f"{counts['in two towers, as in the paper'] / 1e6:.1f} million parameters; the paper says "
        f"60 million. 62 million is the same network without the cut, where three convolutions "
        f"see all channels.",
        "fathom.models.alexnet; Krizhevsky et al. 2012 (NeurIPS), Sections 1 and 3.5",
    )


def _receptive_field() -> Judgement:
    """The side of the square of pixels with a gradient at one output of L 3x3 convolutions."""
    sides = {depth: _support(depth) for depth in range(1, 9)}
    holds = all(side == 2 * depth + 1 for depth, side in sides.items())
    return Judgement(
        agreement(_FIELD["three"], sides[3]) if holds else "wrong",
        {"three": sides[3], "by number of layers": {str(d): s for d, s in sides.items()}},
        "Each further 3x3 convolution of stride 1 sees one pixel more on every side, two more in "
        "all. With strides or pooling between them the field grows faster.",
        "the support of the input gradient through blocks of fathom.models.vgg",
    )


def _support(depth: int) -> int:
    """Pixels along a side that reach the middle of the output, with all weights one."""
    stack = nn.Sequential(*(Block(1, 1) for _ in range(depth)))
    for parameter in stack.parameters():
        nn.init.ones_(parameter)
    middle = depth + 2
    image = torch.ones(1, 1, 2 * middle + 1, 2 * middle + 1, requires_grad=True)
    (gradient,) = torch.autograd.grad(stack(image)[0, 0, middle, middle], image)
    return int((gradient[0, 0] != 0).any(0).sum())


def _stack_params() -> Judgement:
    """Weights without biases over the square of the channels, for 64 to 512 channels."""
    stacks, singles = set(), set()
    for channels in (64, 128, 256, 512):
        with torch.device("meta"):
            stack = nn.Sequential(*(Block(channels, channels) for _ in range(3)))
            single = nn.Conv2d(channels, channels, 7, padding=3)
        stacks.add(conv_weights(stack) / channels**2)
        singles.add(conv_weights(single) / channels**2)
    found = {"stack": max(stacks), "single": max(singles)}
    assert len(stacks) == len(singles) == 1
    saved = 1 - found["stack"] / found["single"]
    return Judgement(
        worst({name: agreement(_STACK[name], value) for name, value in found.items()}),
        {**found, "saved": saved},
        f"Three 3x3 convolutions see the 7x7 pixels of one large one with {100 * saved:.0f} % "
        "fewer weights, and with three ReLUs in place of one. Biases, one a channel and layer, are "
        "not counted.",
        "blocks of fathom.models.vgg, weights counted",
    )


def _vgg16_params() -> Judgement:
    """Weights of single layers without biases; the totals with them."""
    model = meta_network("vgg16")
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
    found = {
        "first_conv": convs[0].weight.numel(),
        "last_conv": convs[-1].weight.numel(),
        "first_fc": linears[0].weight.numel(),
        "fc": sum(params(layer) for layer in linears),
        "total": params(model),
        "conv": len(convs),
        "fc_layers": len(linears),
    }
    verdicts = {name: agreement(_VGG16[name], found[name]) for name in _VGG16}
    with_bias = params(linears[0])
    verdicts["first_fc"] = among(_VGG16["first_fc"], (found["first_fc"], with_bias))
    return Judgement(
        worst(verdicts),
        {**found, "first_fc with biases": with_bias},
        f"All but one agree: the first fully connected layer has {found['first_fc'] / 1e6:.2f} "
        f"million weights, which rounds to 103 million; 102 is the same number cut off. The "
        f"single layers are counted without their biases.",
        "fathom.models.vgg, parameters counted",
    )


def _vgg16_flops() -> Judgement:
    """Multiply-adds and operations at 224 pixels; bytes of float32 weights over 1e6 and 2**20."""
    macs, size = network_macs("vgg16"), 4 * network_params("vgg16")
    found = {
        "macs": macs,
        "flops": 2 * macs,
        "megabytes": size / 1e6,
        "mebibytes": size / _MEBIBYTE,
    }
    verdicts = {
        "flops": among(_VGG16_COST["flops"], (macs, 2 * macs)),
        "megabytes": among(_VGG16_COST["megabytes"], (found["megabytes"], found["mebibytes"])),
    }
    return Judgement(
        worst(verdicts),
        found,
        f"15.5 billion are multiply-adds; each is a multiplication and an addition, so there are "
        f"{2 * macs / 1e9:.1f} billion FLOPs. The float32 weights take {size / 1e6:.0f} MB, which "
        f"is {size / _MEBIBYTE:.0f} MiB: a mebibyte has 1,048,576 bytes.",
        "fathom.cost of vgg16",
    )


CLAIMS = (
    Claim(
        "alexnet.shape",
        "computed",
        "AlexNet has five convolutions (11x11, 5x5, then 3x3), three fully connected layers and 62 "
        "million parameters",
        _ALEXNET,
        _alexnet_shape,
    ),
    Claim(
        "alexnet.relu_speed",
        "experiment",
        "With ReLU a network converges about six times faster than with tanh",
        {"factor": 6},
        by_experiment(
            "alexnet.relu_speed",
            "relu-tanh",
            "claimed in Krizhevsky et al. 2012 (NeurIPS), Figure 1, of four layers on CIFAR-10",
            "It will count the steps that the same network needs with either activation to reach "
            "the same training error, over several seeds.",
        ),
    ),
    Claim(
        "vgg.receptive_field",
        "computed",
        "A stack of three 3x3 convolutions of stride 1 sees 7x7 pixels; L of them see 2L+1 on a "
        "side",
        _FIELD,
        _receptive_field,
    ),
    Claim(
        "vgg.stack_params",
        "computed",
        "From C to C channels, three 3x3 convolutions have 27 C^2 weights and one 7x7 has 49 C^2",
        _STACK,
        _stack_params,
    ),
    Claim(
        "vgg16.params",
        "computed",
        "VGG-16: 1,728 weights in the first convolution and 2,359,296 in the last of 13; 102 "
        "million in the first fully connected layer and 124 million in all three; 138 million in "
        "total",
        _VGG16,
        _vgg16_params,
    ),
    Claim(
        "vgg16.flops",
        "computed",
        "A forward pass of VGG-16 at 224x224 takes 15.5 billion FLOPs; its weights take about 528 "
        "MB",
        _VGG16_COST,
        _vgg16_flops,
    ),
)
