"""What grew from ResNet: groups, dense connections, and gates for channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fathom.layers import SqueezeExcitation
from fathom.ledger.claim import Claim, Judgement, Verdict, agreement, worst
from fathom.ledger.evidence import (
    cited,
    conv_weights,
    meta_network,
    network_macs,
    network_params,
    seeded,
    top5_errors,
)
from fathom.models.densenet import DenseBlock, DenseLayer
from fathom.models.densenet import Spec as DenseSpec
from fathom.models.registry import VARIANTS
from fathom.models.resnet import Block, Spec

_BLOCK = {"path": 2192, "block": 70144, "bottleneck": 69632}
_SE = {"params": 32768, "share_percent": 0.05, "r": 16}
_PARAMS = {
    "resnet50": 25.6e6,
    "resnext50_32x4d": 25.0e6,
    "densenet121": 8.0e6,
    "se_resnet50": 28.1e6,
}
_TOP5 = {"resnet50": 6.7, "resnext50_32x4d": 5.6, "densenet121": 6.2, "se_resnet50": 5.5}
# Of a network that the zoo has not.
_RESNEXT_101 = (5.6, "ResNeXt-101 32x4d (arXiv:1611.05431, Table 4)")


def _resnet_block(name: str) -> Block:
    """The second block of a network's first stage: 256 channels in and out."""
    spec = Spec(**VARIANTS[name].spec)
    return Block(spec, spec.out(spec.widths[0]), spec.widths[0], stride=1, drop=0)


def _resnext_block() -> Judgement:
    """Weights of the convolutions of one block, without the norms; a path is one of its groups."""
    with torch.device("meta"):
        block, bottleneck = _resnet_block("resnext50_32x4d"), _resnet_block("resnet50")
    convs = [m for m in block.branch if isinstance(m, nn.Conv2d)]
    groups = convs[1].groups
    found = {
        "path": sum(conv.weight.numel() // groups for conv in convs),
        "block": conv_weights(block),
        "bottleneck": conv_weights(bottleneck),
    }
    return Judgement(
        worst({name: agreement(_BLOCK[name], value) for name, value in found.items()}),
        {**found, "paths": groups, "more": found["block"] / found["bottleneck"] - 1},
        "The block was widened from 64 to 128 inner channels until its weights match those of the "
        "bottleneck; the grouped 3x3 convolution in the middle needs so few that this costs less "
        "than 1 % more. Norms are left out.",
        "fathom.models.resnet, weights counted; arXiv:1611.05431, Section 3.3",
    )


def _equivalence() -> Judgement:
    """32 branches of 4 channels with slices of a block's weights, summed, against the block."""
    with seeded():
        block = _resnet_block("resnext50_32x4d").double().eval()
    for norm in (m for m in block.branch if isinstance(m, nn.BatchNorm2d)):
        _fill(norm)
    middle = block.branch[3]
    assert isinstance(middle, nn.Conv2d)
    x = torch.randn(2, 256, 7, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        transformed = [_path(block.branch, x, index) for index in range(middle.groups)]
        apart = block.branch[7](torch.stack(transformed).sum(0))
        together = block.branch(x)
    difference = (apart - together).abs().max().item()
    return Judgement(
        "demonstrated" if difference < 1e-9 else "not-reproduced",
        {"paths": len(transformed), "largest difference": difference},
        "The same weights give the same output, up to the rounding of float64. Summing the last "
        "1x1 convolutions of 32 paths is one 1x1 convolution of all channels put together, and 32 "
        "small 3x3 convolutions side by side are what a grouped convolution is.",
        "blocks of fathom.models.resnet; arXiv:1611.05431, Figure 3",
    )


def _fill(norm: nn.BatchNorm2d) -> None:
    """Statistics and scales other than those of a fresh norm."""
    rng = torch.Generator().manual_seed(norm.num_features)
    for values in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
        assert values is not None
        values.copy_(torch.rand(values.shape, generator=rng) + 0.5)


def _path(branch: nn.Sequential, x: Tensor, index: int) -> Tensor:
    """One split and transform: 256 -> 4 -> 4 -> 256 channels, with norms and ReLUs of its own."""
    first, middle, last = (m.weight for m in branch if isinstance(m, nn.Conv2d))
    norms = [m for m in branch if isinstance(m, nn.BatchNorm2d)]
    width = middle.shape[1]
    own = slice(index * width, (index + 1) * width)
    x = _normed(norms[0], F.conv2d(x, first[own]), own).relu()
    x = _normed(norms[1], F.conv2d(x, middle[own], padding=1), own).relu()
    return F.conv2d(x, last[:, own])


def _normed(norm: nn.BatchNorm2d, x: Tensor, own: slice) -> Tensor:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, var = norm.running_mean[own], norm.running_var[own]
    return F.batch_norm(x, mean, var, norm.weight[own], norm.bias[own], eps=norm.eps)


def _connectivity() -> Judgement:
    """What each layer of a block is given, by identity of the tensors; k of three networks."""
    spec = DenseSpec(**{**VARIANTS["densenet121"].spec, "growth": 12})
    with seeded():
        block = DenseBlock(spec, 24, 6).eval()
    given: list[tuple[Tensor, ...]] = []
    added: list[Tensor] = []

    def keep(_: nn.Module, maps: tuple[Tensor, ...], output: Tensor) -> None:
        given.append(maps)
        added.append(output)

    for layer in block:
        layer.register_forward_hook(keep)
    x = torch.randn(1, 24, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        out = block(x)
    everything = [x, *added]
    all_before = all(
        len(maps) == place + 1
        and all(got is made for got, made in zip(maps, everything[: place + 1], strict=True))
        for place, maps in enumerate(given)
    )
    growths = {name: _growth(name) for name in ("cifar_densenet40_k12", "densenet121")}
    growths["densenet121 built with 24"] = _growth("densenet121", growth=24)
    right = all_before and torch.equal(out, torch.cat(everything, 1))
    right = right and list(growths.values()) == [12, 32, 24]
    return Judgement(
        "demonstrated" if right else "not-reproduced",
        {
            "every layer gets all maps before it": all_before,
            "maps given": [len(maps) for maps in given],
            "channels out": out.shape[1],
            "growth": growths,
        },
        f"Layer l of a block gets the block's input and what the l - 1 layers before it added, as "
        f"the very same tensors. Six layers of growth 12 take 24 channels to {out.shape[1]}; "
        "networks for ImageNet grow by 32.",
        "fathom.models.densenet; arXiv:1608.06993, Section 3 and Tables 1 and 2",
    )


def _growth(name: str, **spec: int) -> int:
    """Channels that every layer adds, from the last convolution of each."""
    layers = [m for m in meta_network(name, **spec).modules() if isinstance(m, DenseLayer)]
    convs = [[m for m in layer.modules() if isinstance(m, nn.Conv2d)][-1] for layer in layers]
    growths = {conv.out_channels for conv in convs}
    assert len(growths) == 1
    return growths.pop()


def _se_block() -> Judgement:
    """Weights of one gate without biases; its share, and that of all gates, of the parameters."""
    with torch.device("meta"):
        gate = SqueezeExcitation(512, 512 // 16)
    weights, whole = conv_weights(gate), network_params("resnet50")
    gates = network_params("se_resnet50") - whole
    extra_macs = network_macs("se_resnet50") - network_macs("resnet50")
    percent = {
        "one gate of ResNet-50": 100 * weights / whole,
        "all gates of ResNet-50": 100 * gates / whole,
        "all gates, of its macs": 100 * extra_macs / network_macs("resnet50"),
        "one gate of ResNet-152": 100 * weights / network_params("resnet152"),
    }
    of_this_network = [percent["one gate of ResNet-50"], percent["all gates of ResNet-50"]]
    shares = [agreement(_SE["share_percent"], value) for value in of_this_network]
    verdicts: dict[str, Verdict] = {
        "params": agreement(_SE["params"], weights),
        "share": "wrong" if set(shares) == {"wrong"} else "ambiguous",
    }
    return Judgement(
        worst(verdicts),
        {"params": weights, "gates in all": gates, "share_percent": percent},
        f"The arithmetic is right, the share is not: one such gate is "
        f"{of_this_network[0]:.2f} % of ResNet-50, and its sixteen gates together, most of them "
        f"wider, are {of_this_network[1]:.0f} %. 0.05 % would be the share of this gate in a "
        f"ResNet-152; in multiply-adds all gates are {percent['all gates, of its macs']:.2f} %.",
        "fathom.layers and fathom.cost of resnet50, se_resnet50 and resnet152",
    )


def _params() -> Judgement:
    """All parameters, with three digits as written."""
    found = {name: network_params(name) for name in _PARAMS}
    digits = {"densenet121": 2}
    verdicts = {
        name: agreement(_PARAMS[name], value, digits=digits.get(name, 3))
        for name, value in found.items()
    }
    return Judgement(
        worst(verdicts),
        found,
        "All four agree. ResNeXt-50 was designed to cost what ResNet-50 costs; the gates of "
        f"SE-ResNet-50 add {(found['se_resnet50'] - found['resnet50']) / 1e6:.1f} million.",
        "fathom.models, parameters counted",
    )


def _top5() -> Judgement:
    """Each figure against all that were published for the network, and for its neighbours."""
    verdicts, found = {}, {}
    for name, stated in _TOP5.items():
        verdicts[name], found[name] = cited(stated, top5_errors(name), digits=2)
    elsewhere = {_RESNEXT_101[1]: _RESNEXT_101[0]}
    for name in ("densenet161", "se_resnext50_32x4d"):
        error, figure = top5_errors(name)[0]
        elsewhere[f"{name} ({figure.source})"] = error
    return Judgement(
        worst(verdicts),
        {**found, "the stated figures elsewhere": elsewhere},
        "Only ResNet-50 has its own figure, of ten crops. The other three are found in the papers "
        "beside larger relatives, measured on a single crop: 5.6 belongs to ResNeXt-101, 6.2 "
        "probably to DenseNet-161, and 5.5 to SE-ResNeXt-50.",
        "arXiv:1512.03385, Table 3; 1611.05431, Table 4; 1608.06993, Table 3; 1709.01507, Table 2",
    )


CLAIMS = (
    Claim(
        "resnext.block",
        "computed",
        "With 256 channels, 32 paths of width 4 and 256*4 + 9*16 + 4*256 = 2,192 weights each make "
        "70,144; a bottleneck of ResNet has 69,632",
        _BLOCK,
        _resnext_block,
    ),
    Claim(
        "resnext.equivalence",
        "behaviour",
        "Splitting into 32 paths, transforming and summing is one convolution of 32 groups",
        {},
        _equivalence,
    ),
    Claim(
        "densenet.connectivity",
        "behaviour",
        "Every layer gets the concatenation of all maps before it in its block; the growth rate is "
        "12 or 24, and 32 in DenseNet-121",
        {},
        _connectivity,
    ),
    Claim(
        "se.block",
        "computed",
        "On 7x7x512 maps with ratio 16 a gate adds 512*32 + 32*512 = 32,768 parameters, 'about "
        "0.05%' of ResNet-50",
        _SE,
        _se_block,
    ),
    Claim(
        "post_resnet.params",
        "computed",
        "Millions of parameters: ResNet-50 25.6, ResNeXt-50 25.0, DenseNet-121 8.0, SE-ResNet-50 "
        "28.1",
        _PARAMS,
        _params,
    ),
    Claim(
        "post_resnet.top5",
        "published",
        "Top-5 errors in percent: ResNet-50 6.7, ResNeXt-50 5.6, DenseNet-121 6.2, SE-ResNet-50 "
        "5.5",
        _TOP5,
        _top5,
    ),
)
