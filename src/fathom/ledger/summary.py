"""The closing table of all networks, and the frontier of accuracy for compute."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from fathom.ledger.claim import Claim, Judgement, Verdict, agreement, among, worst
from fathom.ledger.evidence import cited, network_params, top1_figures
from fathom.models.cards import Published
from fathom.models.registry import list_models, model_card

_PARAMS = {
    "alexnet": 62e6,
    "vgg16": 138e6,
    "googlenet": 5e6,
    "resnet50": 25.6e6,
    "resnext50_32x4d": 25.0e6,
    "mobilenetv1": 3.4e6,
    "densenet121": 8.0e6,
    "mobilenetv2": 3.4e6,
    "efficientnet_b0": 5.3e6,
    "convnext_tiny": 29e6,
}
_TOP1 = {
    "alexnet": 63.3,
    "vgg16": 74.4,
    "googlenet": 74.8,
    "resnet50": 76.1,
    "resnext50_32x4d": 77.8,
    "mobilenetv1": 70.6,
    "densenet121": 74.4,
    "mobilenetv2": 72.0,
    "efficientnet_b0": 77.1,
    "convnext_tiny": 82.1,
}
_YEARS = {
    "alexnet": 2012,
    "vgg16": 2014,
    "googlenet": 2014,
    "resnet50": 2015,
    "resnext50_32x4d": 2017,
    "mobilenetv1": 2017,
    "densenet121": 2017,
    "mobilenetv2": 2018,
    "efficientnet_b0": 2019,
    "convnext_tiny": 2022,
}
# The zoo's names where the table has others: the networks of the papers.
_ZOO = {
    "alexnet": "alexnet_2012",
    "googlenet": "googlenet_2014",
    "mobilenetv1": "mobilenet_v1",
    "mobilenetv2": "mobilenet_v2",
}
_DIGITS = {"resnet50": 3, "resnext50_32x4d": 3, "densenet121": 2}
# Figures of other things than one network of these names.
_ELSEWHERE = {
    "alexnet": {"seven networks averaged (Krizhevsky et al. 2012, Table 2, 7 CNNs*)": 63.3},
    "googlenet": {"BN-x30, Inception with batch norm (arXiv:1502.03167, Figure 3)": 74.8},
}
_ONE_VIEW = re.compile(r"ImageNet, (?:centre crop )?(\d+)(?: pixels)?(?:,|$)")
_FRONTIER_FAMILIES = ("efficientnet", "convnext")


def _params() -> Judgement:
    """All parameters of the papers' networks; AlexNet also without its two towers."""
    found: dict[str, int] = {name: network_params(_ZOO.get(name, name)) for name in _PARAMS}
    verdicts: dict[str, Verdict] = {
        name: agreement(_PARAMS[name], value, digits=_DIGITS.get(name))
        for name, value in found.items()
    }
    unsplit = network_params("alexnet_2012", groups=1)
    verdicts["alexnet"] = among(_PARAMS["alexnet"], (found["alexnet"], unsplit))
    wrong = [name for name, verdict in verdicts.items() if verdict == "wrong"]
    return Judgement(
        worst(verdicts),
        {**found, "alexnet, not split": unsplit, "wrong": wrong},
        f"MobileNetV1 has {found['mobilenetv1'] / 1e6:.1f} million (3.4 is V2's figure, and its "
        f"paper's; counted it is {found['mobilenetv2'] / 1e6:.1f}), GoogLeNet "
        f"{found['googlenet'] / 1e6:.1f} and not 5, which would be a twelfth of AlexNet. "
        "AlexNet's 62 million hold without the split into two towers; the other six agree.",
        "fathom.models, parameters counted; arXiv:1801.04381, Table 4",
    )


def _top1() -> Judgement:
    """Each figure against all that were published for the network, of any protocol."""
    verdicts, found = {}, {}
    for name, stated in _TOP1.items():
        verdicts[name], found[name] = cited(stated, _figures(name), digits=3)
    single, later = found["alexnet"], found["googlenet"]
    years = {name: model_card(_ZOO.get(name, name)).year for name in _TOP1}
    return Judgement(
        worst(verdicts),
        {**found, "the stated figures elsewhere": _ELSEWHERE, "years agree": years == _YEARS},
        "Two are not the network's: 63.3 averages seven AlexNets, two of them pretrained on more "
        f"images (one network has {max(single.values()):.1f}), and 74.8 is a later Inception with "
        f"batch norm (GoogLeNet has {max(later.values()):.1f} at best). The rest mix protocols: "
        "VGG-16's 74.4 is the whole image at several places, 76.1 and DenseNet's 74.4 are "
        "torchvision's single crop.",
        "the cards' figures; Krizhevsky et al. 2012, Table 2; arXiv:1502.03167, Figure 3",
    )


def _figures(name: str) -> list[tuple[float, Published]]:
    """Those of the paper's network, and of its other forms in the zoo."""
    names = [_ZOO.get(name, name), *({name} & {"alexnet", "googlenet"})]
    return [figure for zoo in names for figure in top1_figures(zoo)]


class _Point(NamedTuple):
    name: str
    macs: int
    top1: float
    figure: Published


def _points() -> list[_Point]:
    """Single views of ImageNet at the card's size, from networks trained on ImageNet-1k alone."""
    points = []
    for name in list_models():
        card = model_card(name)
        for top1, figure in top1_figures(name):
            view = _ONE_VIEW.match(figure.protocol)
            at_size = view is not None and int(view[1]) == card.image_size
            if at_size and "pretrained" not in figure.protocol:
                points.append(_Point(name, card.macs, top1, figure))
    return points


def frontier(points: Iterable[_Point]) -> list[_Point]:
    """The points that none beats: less work for as much accuracy, or more for as much work."""
    best: list[_Point] = []
    for point in sorted(points, key=lambda p: (p.macs, -p.top1)):
        if not best or point.top1 > best[-1].top1:
            best.append(point)
    return best


def _pareto() -> Judgement:
    """The frontier of multiply-adds and top-1 over all figures, and over the papers' own."""
    points = _points()
    papers = [p for p in points if p.figure.source.startswith("arXiv")]
    fronts = {"any weights": frontier(points), "the papers' own": frontier(papers)}
    found = {
        which: {p.name: f"{p.top1:.1f} % at {p.macs / 1e9:.2f} G" for p in front}
        for which, front in fronts.items()
    }
    others = [
        p.name
        for front in fronts.values()
        for p in front
        if not p.name.startswith(_FRONTIER_FAMILIES)
    ]
    cheapest = " and ".join(dict.fromkeys(others)) or "empty"
    start = min(p.macs for p in fronts["any weights"] if p.name not in others)
    return Judgement(
        "ambiguous" if others else "exact",
        {"networks": len({p.name for p in points}), "macs and top-1": found},
        f"From {start / 1e9:.2f} billion multiply-adds on, the frontier of the zoo is first "
        f"EfficientNet and then mostly ConvNeXt; below that it is {cheapest}. "
        "No network is best at every budget, and this is one budget only: memory, time on a given "
        "machine or another recipe may give other orders.",
        "the cards' figures (single view, ImageNet-1k alone) and their multiply-adds",
    )


CLAIMS = (
    Claim(
        "summary.params",
        "computed",
        "The closing table's millions of parameters: AlexNet 62, VGG-16 138, GoogLeNet 5, "
        "ResNet-50 25.6, ResNeXt-50 25.0, MobileNetV1 3.4, DenseNet-121 8.0, MobileNetV2 3.4, "
        "EfficientNet-B0 5.3, ConvNeXt-T 29",
        _PARAMS,
        _params,
    ),
    Claim(
        "summary.top1",
        "published",
        "The closing table's top-1 in percent: AlexNet (2012) 63.3, VGG-16 (2014) 74.4, GoogLeNet "
        "(2014) 74.8, ResNet-50 (2015) 76.1, ResNeXt-50 (2017) 77.8, MobileNetV1 (2017) 70.6, "
        "DenseNet-121 (2017) 74.4, MobileNetV2 (2018) 72.0, EfficientNet-B0 (2019) 77.1, "
        "ConvNeXt-T (2022) 82.1",
        _TOP1,
        _top1,
    ),
    Claim(
        "pareto",
        "computed",
        "No architecture is best for all: EfficientNet and ConvNeXt form the Pareto frontier of "
        "accuracy for compute, and the choice depends on where the network must run",
        {},
        _pareto,
    ),
)
