"""Efficient networks: separable convolutions, inverted residuals, scaling by one coefficient."""

from __future__ import annotations

import math

import torch
from torch import nn

from fathom.costs import cost
from fathom.layers import InvertedResidual
from fathom.ledger.claim import Claim, Judgement, Verdict, agreement, among, worst
from fathom.ledger.evidence import (
    cited,
    conv_weights,
    network_macs,
    network_params,
    seeded,
    top1_figures,
)
from fathom.models.mobilenet import Separable
from fathom.models.registry import VARIANTS, build_model, model_card

_SAVING = {"low": 8, "high": 9}
_EXAMPLE = {
    "standard": 589824,
    "standard_flops": 115.6e6,
    "depthwise": 2304,
    "pointwise": 65536,
    "separable": 67840,
    "ratio": 8.7,
    "separable_flops": 13.3e6,
}
_SIDE = 14
_SCALING = {"b7_params": 66e6, "b0_params": 5.3e6}
_ALPHA, _BETA, _GAMMA = 1.2, 1.1, 1.15  # arXiv:1905.11946, Section 3.3: depth, width, resolution
_ACCURACY = {"b7": 84.3, "gpipe_params": 557e6}
# arXiv:1905.11946v5, Table 2: top-1 in percent, and parameters in millions.
_GPIPE = (84.3, 557e6)


def _pair(channels: int, out: int) -> tuple[nn.Conv2d, Separable]:
    """A 3x3 convolution and its separable form, on the meta device."""
    with torch.device("meta"):
        return nn.Conv2d(channels, out, 3, padding=1, bias=False), Separable(
            channels, out, stride=1
        )


def _saving(out: int) -> float:
    """Weights of a 3x3 convolution over those of its separable form, which is also that of macs."""
    standard, separable = _pair(64, out)
    return conv_weights(standard) / conv_weights(separable)


def _formula() -> Judgement:
    """The saving for 16 to 1024 output channels, against the two rules; inputs do not matter."""
    savings = {out: _saving(out) for out in (16, 32, 64, 128, 256, 512, 1024)}
    literal = all(math.isclose(s, 1 / (1 / out + 1 / 9)) for out, s in savings.items())
    by_rule = {out: out / 9 for out in savings}
    rule_holds = all(agreement(round(by_rule[out], 1), s) != "wrong" for out, s in savings.items())
    least = next(out for out in range(1, 1000) if 9 * out / (9 + out) >= _SAVING["low"])
    below = max(savings.values()) < _SAVING["high"]
    return Judgement(
        "rounded" if literal and rule_holds and below else "wrong",
        {
            "times fewer, by outputs": {str(out): round(s, 3) for out, s in savings.items()},
            "outputs / 9": {str(out): round(value, 1) for out, value in by_rule.items()},
            "at least 8 from outputs": least,
        },
        "The counts are right, the rule made from them is not: the saving is 9 Cout / (Cout + 9), "
        f"which nears 9 with many channels, is 8 to 9 from {least} outputs on, and never grows "
        "like Cout / 9. The paper writes the cost as 1/Cout + 1/9 of a standard convolution's.",
        "fathom.models.mobilenet, weights counted; arXiv:1704.04861, Section 3.1",
    )


def _separable_example() -> Judgement:
    """Weights of the convolutions, no norms, and multiply-adds on a 14x14 map."""
    standard, separable = _pair(256, 256)
    depthwise, pointwise = (m for m in separable.branch if isinstance(m, nn.Conv2d))
    macs = cost(standard, image_size=_SIDE, in_channels=256).macs
    separable_macs = cost(separable, image_size=_SIDE, in_channels=256).macs
    found: dict[str, float] = {
        "standard": conv_weights(standard),
        "depthwise": conv_weights(depthwise),
        "pointwise": conv_weights(pointwise),
        "separable": conv_weights(separable),
        "ratio": conv_weights(standard) / conv_weights(separable),
    }
    verdicts = {name: agreement(_EXAMPLE[name], value) for name, value in found.items()}
    counted = {"standard_flops": macs, "separable_flops": separable_macs}
    for name, value in counted.items():
        verdicts[name] = among(_EXAMPLE[name], (value, 2 * value))
    both = {"standard_macs": macs, "separable_macs": separable_macs}
    doubled = {name: 2 * value for name, value in counted.items()}
    return Judgement(
        worst(verdicts),
        {**found, **both, **doubled},
        f"All numbers agree, but the {macs / 1e6:.1f} and {separable_macs / 1e6:.1f} million are "
        f"multiply-adds: in FLOPs they are {2 * macs / 1e6:.1f} and {2 * separable_macs / 1e6:.1f} "
        "million. The ratio is the same either way.",
        "fathom.cost of a block of fathom.models.mobilenet",
    )


def _inverted() -> Judgement:
    """The layers of MobileNetV2's blocks, and one block with a shortcut on real numbers."""
    with seeded():
        model = build_model("mobilenet_v2").eval()
    blocks = [m for m in model.modules() if isinstance(m, InvertedResidual)]
    shortcuts = [block for block in blocks if block.shortcut is not None]
    block = shortcuts[0]
    expand, depthwise, project = (m for m in block.branch if isinstance(m, nn.Conv2d))
    x = torch.randn(2, expand.in_channels, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        out, branch = block(x), block.branch(x)
    shown = {
        "kernels": [conv.kernel_size[0] for conv in (expand, depthwise, project)],
        "channels": [expand.in_channels, expand.out_channels, project.out_channels],
        "groups of the 3x3": depthwise.groups,
        "last layer": type(block.branch[-1]).__name__,
        "share of negative outputs": round((out < 0).double().mean().item(), 3),
        "output is branch plus input": torch.equal(out, branch + x),
        "blocks with a shortcut": f"{len(shortcuts)} of {len(blocks)}",
    }
    narrow, wide, end = shown["channels"]
    right = (
        shown["kernels"] == [1, 3, 1]
        and narrow == end < wide == depthwise.groups
        and shown["last layer"] == "BatchNorm2d"
        and shown["output is branch plus input"]
        and (out < 0).any()
    )
    return Judgement(
        "demonstrated" if right else "not-reproduced",
        shown,
        f"The block goes from {narrow} to {wide} channels and back, its depthwise convolution "
        "works on the wide map, and nothing cuts negative values off at the end. The narrow maps "
        f"are added only where the shape stays, in {shown['blocks with a shortcut']} blocks.",
        "fathom.layers.InvertedResidual in mobilenet_v2; arXiv:1801.04381, Section 3",
    )


def _compound() -> Judgement:
    """The phi of each network's resolution, and B7 built by the rule at phi = 7."""
    names = [f"efficientnet_b{n}" for n in range(8)]
    phis = {name: math.log(model_card(name).image_size / 224) / math.log(_GAMMA) for name in names}
    literal = all(abs(phi - n) < 0.25 for n, phi in enumerate(phis.values()))
    b0, b7 = network_params(names[0]), network_params(names[7])
    by_rule = network_params("efficientnet_b0", width=_BETA**7, depth=_ALPHA**7)
    verdicts: dict[str, Verdict] = {
        "b0_params": agreement(_SCALING["b0_params"], b0),
        "b7_params": agreement(_SCALING["b7_params"], b7),
        "phi": "exact" if literal else "ambiguous",
    }
    spec = VARIANTS[names[7]].spec
    return Judgement(
        worst(verdicts),
        {
            "b0_params": b0,
            "b7_params": b7,
            "phi of the resolution": {name: round(phi, 2) for name, phi in phis.items()},
            "depth of B7": {"rule": round(_ALPHA**7, 2), "used": spec["depth"]},
            "width of B7": {"rule": round(_BETA**7, 2), "used": spec["width"]},
            "params of B7 by the rule": by_rule,
        },
        "Both counts agree, and phi goes from 0 to 7, but it is not the number in the name: B1 is "
        f"at about {phis['efficientnet_b1']:.1f} and B4 at {phis['efficientnet_b4']:.1f}. Nor is "
        f"one coefficient all: the rule at 7 asks for {_ALPHA**7:.1f} times the depth, B7 has "
        f"{spec['depth']}.",
        "fathom.models.efficientnet; arXiv:1905.11946, Section 3.3, and the reference code",
    )


def _accuracy() -> Judgement:
    """The paper's own table for both networks, and the parameters of B7 counted."""
    name = "efficientnet_b7"
    own = [(top1, f) for top1, f in top1_figures(name) if f.source.startswith("arXiv")]
    verdict, figures = cited(_ACCURACY["b7"], own, digits=3)
    accuracy, params = _GPIPE
    verdicts: dict[str, Verdict] = {
        "b7": verdict,
        "params": agreement(66e6, network_params(name)),
        "gpipe_params": agreement(_ACCURACY["gpipe_params"], params),
    }
    side = model_card(name).image_size
    return Judgement(
        worst(verdicts),
        {
            "b7": figures,
            "b7_params": network_params(name),
            "b7_macs": network_macs(name),
            "gpipe": accuracy,
            "gpipe_params": params,
        },
        f"The paper's table gives both networks 84.3 %, and B7 has {params / 66e6:.1f} times fewer "
        f"parameters. Parameters are not work: at {side} pixels B7 takes "
        f"{network_macs(name) / 1e9:.0f} billion multiply-adds an image, "
        f"{network_macs(name) / network_macs('resnet50'):.0f} times those of ResNet-50.",
        "arXiv:1905.11946v5, Table 2; fathom.cost of efficientnet_b7",
    )


CLAIMS = (
    Claim(
        "separable.formula",
        "computed",
        "A depthwise separable 3x3 convolution has 9 Cin + Cin Cout weights where a standard one "
        "has 9 Cin Cout: 'savings roughly Cout/9', about 8 to 9 times",
        _SAVING,
        _formula,
    ),
    Claim(
        "separable.example",
        "computed",
        "On 14x14x256 maps, to 256 channels: 589,824 parameters and 115.6 million FLOPs against "
        "2,304 + 65,536 = 67,840 parameters, 8.7 times fewer, and 13.3 million FLOPs",
        _EXAMPLE,
        _separable_example,
    ),
    Claim(
        "mobilenetv2.inverted",
        "behaviour",
        "An inverted residual expands by a 1x1 convolution, filters by a depthwise 3x3 and "
        "projects by a linear 1x1; the shortcut joins its narrow ends",
        {},
        _inverted,
    ),
    Claim(
        "efficientnet.compound",
        "computed",
        "One coefficient phi from 0 to 7 scales depth, width and resolution together, from B0 with "
        "5.3 to B7 with 66 million parameters",
        _SCALING,
        _compound,
    ),
    Claim(
        "efficientnet.accuracy",
        "published",
        "EfficientNet-B7 reaches 84.3 % top-1 with 66 million parameters, comparable to GPipe with "
        "557 million",
        _ACCURACY,
        _accuracy,
    ),
)
