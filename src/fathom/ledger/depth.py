"""Depth and the ImageNet years: how deep the winners were, what they scored, what depth alone does.

Degradation is the observation that a deeper plain network trains worse than a shallower one that it
could imitate; that it could is shown here with weights, that it does not by experiments.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fathom.layers import SqueezeExcitation
from fathom.ledger.claim import Claim, Judgement, Verdict, agreement, worst
from fathom.ledger.evidence import meta_network, seeded, top5_errors
from fathom.ledger.recorded import by_experiment
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model, model_card

_LAYERS = {
    "alexnet": (8, "alexnet_2012"),
    "zfnet": (8, "zfnet"),
    "vgg19": (19, "vgg19"),
    "googlenet": (22, "googlenet_2014"),
    "resnet152": (152, "resnet152"),
    "senet": (152, "senet154"),
}

# Top-5 errors in percent on ILSVRC's test set, as stated, then as the cited sources give them.
_TOP5 = {
    "handcrafted": (26, 26.172),
    "alexnet": (16.4, 16.422),
    "zfnet": (11.7, 14.8),
    "vgg": (7.3, 7.3),
    "googlenet": (6.7, 6.67),
    "resnet": (3.6, 3.57),
    "senet": (2.3, 2.251),
    "human": (5, 5.1),
}


def weighted_layers(model: ImageClassifier, image_size: int = 224) -> int:
    """The most convolutions and linear layers that one path from image to logits goes through.

    The graph that autograd records in evaluation mode is walked from the logits back, so auxiliary
    heads, which do not run there, are left out; so are the two layers of every squeeze-excitation
    gate, which weigh channels and carry no map on. A projection shortcut is no longer than the
    branch beside it and never on the longest path. The model may be on the meta device.
    """
    gates = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, SqueezeExcitation)
        for parameter in module.parameters()
    }
    device = next(model.parameters()).device
    images = torch.zeros(1, model.in_channels, image_size, image_size, device=device)
    logits = model.eval()(images)
    assert isinstance(logits, Tensor)
    return _longest(logits.grad_fn, gates)


def _longest(last: object, gates: set[int]) -> int:
    """The most weighted nodes on a path that ends in this node of autograd's graph.

    Without recursion, which would run out of stack in a network of 152 layers.
    """
    depths: dict[object, int] = {}
    stack = [last]
    while stack:
        node = stack[-1]
        before = [n for n, _ in getattr(node, "next_functions", ()) if n is not None]
        waiting = [n for n in before if n not in depths]
        if waiting:
            stack.extend(waiting)
            continue
        stack.pop()
        depths[node] = _weighs(node, gates) + max((depths[n] for n in before), default=0)
    return depths[last]


def _weighs(node: object, gates: set[int]) -> bool:
    """Whether a node of autograd's graph is a convolution or a linear layer outside the gates."""
    name = type(node).__name__
    if name not in ("ConvolutionBackward0", "AddmmBackward0"):
        return False
    held = {id(getattr(n, "variable", None)) for n, _ in getattr(node, "next_functions", ())}
    return not held & gates


def _layers() -> Judgement:
    """Convolutions and linear layers on the longest path, see `weighted_layers`."""
    counted = {key: weighted_layers(meta_network(name)) for key, (_, name) in _LAYERS.items()}
    verdicts: dict[str, Verdict] = {
        key: agreement(stated, counted[key]) for key, (stated, _) in _LAYERS.items()
    }
    return Judgement(
        worst(verdicts),
        counted,
        "Counted are convolutions and linear layers on the longest path, without auxiliary heads, "
        f"projection shortcuts and gates. All agree but SENet, which has {counted['senet']}: the "
        "largest network of the 2017 winner is called SENet-154. The 152 probably comes from the "
        "ResNeXt-152 that it was made from, whose 7x7 at the start became three 3x3.",
        "fathom.ledger.depth.weighted_layers; Hu et al. 2017, arXiv:1709.01507, Section 6.3",
    )


def _top5() -> Judgement:
    """Each stated figure against the one its source gives for the test set; entries of the
    challenge are ensembles, and single networks are much worse."""
    verdicts: dict[str, Verdict] = {
        key: agreement(stated, found) for key, (stated, found) in _TOP5.items()
    }
    figures: dict[str, object] = {key: found for key, (_, found) in _TOP5.items()}
    figures["clarifai"] = 11.7
    alone = {"alexnet": "alexnet_2012", "vgg": "vgg19", "resnet": "resnet152", "senet": "senet154"}
    figures["one network, validation"] = {
        key: min(error for error, figure in top5_errors(name) if "torchvision" not in figure.source)
        for key, name in alone.items()
    }
    return Judgement(
        worst(verdicts),
        figures,
        "All agree but ZFNet's: 11.7 belongs to the ensemble of Zeiler's company Clarifai, which "
        "won in 2013, and the six networks of the ZFNet paper have 14.8. The others are ensembles "
        "on the test set, too (5 AlexNets, which won with 15.3 on extra data; 7 VGGs, second to 7 "
        "GoogLeNets; several ResNets and SENets), not what one network scores on one crop.",
        "ILSVRC 2012 results page (handcrafted, AlexNet); Simonyan and Zisserman 2014, "
        "arXiv:1409.1556, Table 7 (ZFNet, Clarifai, VGG); Szegedy et al. 2014, arXiv:1409.4842, "
        "Table 2; He et al. 2015, arXiv:1512.03385, Table 5; Hu et al. 2017, arXiv:1709.01507, "
        "abstract; Russakovsky et al. 2014, arXiv:1409.0575, Section 6.4; the cards of single "
        f"networks, such as {model_card('alexnet_2012').published[0].source}",
    )


def imitate(deep: ImageClassifier, shallow: ImageClassifier) -> None:
    """Give a deeper network of the same family a shallower one's function, in evaluation mode.

    Stem, head and the first blocks of every stage take its weights; every further block becomes the
    identity: kernels that copy each channel and norms that undo their epsilon where the block is
    plain, a branch of zero where it has a shortcut. Both end in a ReLU, which leaves what comes out
    of a ReLU as it is.
    """
    deep.stem.load_state_dict(shallow.stem.state_dict())
    deep.head.load_state_dict(shallow.head.state_dict())
    for long, short in zip(deep.stages, shallow.stages, strict=True):
        assert isinstance(long, nn.Sequential)
        assert isinstance(short, nn.Sequential)
        for place, block in enumerate(long):
            if place < len(short):
                block.load_state_dict(short[place].state_dict())
            else:
                _make_identity(block)


def _make_identity(block: nn.Module) -> None:
    plain = block.shortcut is None
    assert isinstance(block.branch, nn.Sequential)
    for layer in block.branch:
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            nn.init.constant_(layer.weight, math.sqrt(1 + layer.eps) if plain else 0.0)


def _identity() -> Judgement:
    """Whether 56 layers compute what 20 do, with the extra blocks as identities: the largest
    difference of the logits as a share of the largest logit, in float64."""
    found: dict[str, object] = {}
    differences = {}
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()
    for kind in ("plain", "resnet"):
        names = (f"cifar_{kind}20", f"cifar_{kind}56")
        with seeded(), torch.no_grad():
            shallow, deep = (build_model(name).double() for name in names)
            shallow.train()(images)  # running averages of real maps, not zeros and ones
            imitate(deep, shallow)
            wanted, imitated = shallow.eval()(images), deep.eval()(images)
        differences[kind] = float((imitated - wanted).abs().max() / wanted.abs().max())
        found[f"{kind} layers"] = [weighted_layers(meta_network(name), 32) for name in names]
        found[f"{kind} difference"] = differences[kind]
    shown = max(differences.values()) < 1e-12
    return Judgement(
        "demonstrated" if shown else "not-reproduced",
        found,
        "With the first blocks of every stage copied and the others set to the identity, 56 layers "
        "give the logits of 20, so the deeper network can do no worse; if it trains worse, the "
        "optimiser did not find these weights. A plain block needs kernels that copy every channel "
        "for that, a residual one only a branch of zero.",
        "fathom.ledger.depth.imitate on cifar_plain20 and cifar_plain56, cifar_resnet20 and 56; "
        "the argument is that of He et al. 2015, arXiv:1512.03385, Section 1",
    )


CLAIMS = (
    Claim(
        "ilsvrc.layers",
        "computed",
        "The winners grew deeper: 8 weighted layers in AlexNet and ZFNet, 19 in VGG, 22 in "
        "GoogLeNet, 152 in ResNet and in SENet, counted along the longest path",
        {key: stated for key, (stated, _) in _LAYERS.items()},
        _layers,
    ),
    Claim(
        "ilsvrc.top5",
        "published",
        "Top-5 error of the ILSVRC winners, from hand-made features at 26 % to SENet at 2.3 %, "
        "beside about 5 % for a person",
        {key: stated for key, (stated, _) in _TOP5.items()},
        _top5,
    ),
    Claim(
        "degradation.train_error",
        "experiment",
        "56 plain layers end with a higher training error, and test error, than 20: optimisation "
        "fails, it is not overfitting",
        {},
        by_experiment(
            "degradation.train_error",
            "degradation",
            "He et al. 2015, arXiv:1512.03385, Figures 1 and 6",
            "It will show the training errors of plain networks of 20 and 56 layers under one "
            "recipe and several seeds.",
        ),
    ),
    Claim(
        "degradation.residual_cures",
        "experiment",
        "With shortcuts 56 layers train at least as well as 20",
        {},
        by_experiment(
            "degradation.residual_cures",
            "degradation",
            "He et al. 2015, arXiv:1512.03385, Figure 6",
            "It will show the training errors of residual networks of 20 and 56 layers under the "
            "same recipe as their plain twins.",
        ),
    ),
    Claim(
        "degradation.identity_construction",
        "behaviour",
        "56 layers can represent exactly what 20 do: the extra layers are identity maps",
        {},
        _identity,
    ),
)
