"""ConvNeXt: the road from ResNet-50, step by step, and where it arrives."""

from __future__ import annotations

import torch

from fathom.ledger.claim import Claim, Judgement, Verdict, agreement, worst
from fathom.ledger.evidence import (
    cited,
    network_macs,
    network_params,
    params,
    top1_figures,
)
from fathom.models.cards import Published
from fathom.models.registry import list_models

_STEPS = {
    "kernel7": 0.5,
    "fewer_act": 0.7,
    "layernorm": 0.1,
    "inverted": 0.2,
    "fewer_norm": 0.1,
    "patchify": 0.2,
}
# For each step, the network before it and the one after it.
_BETWEEN = {
    "kernel7": ("road_06_move_up", "road_07_kernel7"),
    "fewer_act": ("road_07_kernel7", "road_09_fewer_acts"),
    "layernorm": ("road_10_fewer_norms", "road_11_layernorm"),
    "inverted": ("road_04_width", "road_05_inverted"),
    "fewer_norm": ("road_09_fewer_acts", "road_10_fewer_norms"),
    "patchify": ("road_01_stage_ratio", "road_02_patchify"),
}
_SIZE = {"convnext_tiny": 29e6}
_SWIN_SIZE = 29e6  # in the text of the claim
_ACCURACY = {"convnext_tiny": 82.1, "swin_t": 82.1, "convnext_xlarge": 87.8}
_SWIN_T = Published(0.813, None, "ImageNet, 224 pixels", "arXiv:2103.14030, Table 1")


def _steps() -> Judgement:
    """Differences of top-1 between neighbours in Table 10, in points; two steps for activations."""
    found = {}
    for step, (before, after) in _BETWEEN.items():
        (start, _), (end, _) = top1_figures(before)[0], top1_figures(after)[0]
        found[step] = round(end - start, 2)
    verdicts = {name: agreement(_STEPS[name], value) for name, value in found.items()}
    return Judgement(
        worst(verdicts),
        {**found, "agrees": {name: verdict != "wrong" for name, verdict in verdicts.items()}},
        f"Growing the kernel to 7x7 brought {found['kernel7']:.2f} points, not 0.5, and the "
        f"inverted bottleneck {found['inverted']:.2f}, not 0.2; the other four agree. Runs of one "
        "network that differ in the seed only spread by about 0.1 as well (0.02 to 0.18 in the "
        "table), so steps of 0.1 or 0.2 say little.",
        "arXiv:2201.03545, Table 10: single crop at 224, mean of 3 seeds",
    )


def _ladder() -> Judgement:
    """Thirteen networks built on the meta device, with parameters and multiply-adds."""
    names = list_models("road_*")
    found = {name: {"params": network_params(name), "macs": network_macs(name)} for name in names}
    different = len({tuple(counts.values()) for counts in found.values()})
    ends = [("resnet50", names[0]), ("convnext_tiny", names[-1])]
    meets = all(network_params(a) == network_params(b) for a, b in ends)
    return Judgement(
        "demonstrated" if len(found) == 13 and meets else "not-reproduced",
        {**found, "different pairs of counts": different},
        "All thirteen networks build, from ResNet-50 to ConvNeXt-T, each with its own counts of "
        "parameters and multiply-adds (FLOPs are twice those). Changing activations costs nothing, "
        f"so three of them share their counts: there are {different} different pairs.",
        "fathom.cost of the networks of fathom.models.road; arXiv:2201.03545, Section 2",
    )


def _size() -> Judgement:
    """Parameters of ConvNeXt-T, and of torchvision's Swin-T, which the zoo has not."""
    from torchvision.models import swin_t

    with torch.device("meta"):
        swin = params(swin_t())
    tiny = network_params("convnext_tiny")
    verdicts = {
        "convnext_tiny": agreement(_SIZE["convnext_tiny"], tiny),
        "swin_t": agreement(_SWIN_SIZE, swin),
    }
    return Judgement(
        worst(verdicts),
        {"convnext_tiny": tiny, "swin_t": swin},
        f"ConvNeXt-T has {tiny / 1e6:.1f} million parameters, which rounds to 29; Swin-T has "
        f"{swin / 1e6:.1f}, which rounds to 28. The 29 for Swin-T stands in its own paper's table; "
        "the authors' code and the ConvNeXt paper say 28.",
        "fathom.models.convnext; torchvision's swin_t; arXiv:2103.14030, Table 1; 2201.03545, "
        "Tables 1 and 9",
    )


def _accuracy() -> Judgement:
    """The papers' own figures for the three networks."""
    figures = {
        "convnext_tiny": top1_figures("convnext_tiny"),
        "swin_t": [(100 * (_SWIN_T.top1 or 0), _SWIN_T)],
        "convnext_xlarge": top1_figures("convnext_xlarge"),
    }
    verdicts: dict[str, Verdict] = {}
    found = {}
    for name, stated in _ACCURACY.items():
        verdicts[name], found[name] = cited(stated, figures[name], digits=3)
    tiny, swin = figures["convnext_tiny"][0][0], figures["swin_t"][0][0]
    return Judgement(
        worst(verdicts),
        found,
        f"Swin-T has {swin:.1f} %, so ConvNeXt-T does not match it but is {tiny - swin:.1f} points "
        "ahead; 82.1 % is ConvNeXt-T's own figure written twice. The 87.8 % are another game: "
        "pretrained on ImageNet-22k and measured at 384 pixels.",
        "arXiv:2201.03545, Table 1; arXiv:2103.14030, Table 1",
    )


CLAIMS = (
    Claim(
        "convnext.steps",
        "published",
        "Points of top-1 that steps from ResNet-50 bring: 7x7 depthwise kernel 0.5, GELU and fewer "
        "activations 0.7, layer norm for batch norm 0.1, inverted bottleneck 0.2, fewer norms 0.1, "
        "patchify stem 0.2",
        _STEPS,
        _steps,
    ),
    Claim(
        "convnext.ladder_builds",
        "computed",
        "Every step on the road from ResNet-50 to ConvNeXt-T can be built, and has counts of "
        "parameters and FLOPs of its own",
        {},
        _ladder,
    ),
    Claim(
        "convnext.size",
        "computed",
        "ConvNeXt-T has 29 million parameters, as has Swin-T",
        _SIZE,
        _size,
    ),
    Claim(
        "convnext.accuracy",
        "published",
        "ConvNeXt-T reaches 82.1 % top-1 and 'matches Swin-T at 82.1%'; ConvNeXt-XL reaches 87.8 %",
        _ACCURACY,
        _accuracy,
    ),
)
