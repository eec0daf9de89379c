"""Regularisation: what noise is added in training, and what makes up for it in evaluation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fathom.data.crops import ten_crops
from fathom.data.photometric import colour_jitter, cutout
from fathom.ledger.claim import Claim, Judgement, Verdict, agreement, worst
from fathom.ledger.evidence import meta_network, seeded
from fathom.models.registry import build_model
from fathom.models.resnet import Block
from fathom.regularize import (
    StochasticDepth,
    dropout,
    plain_dropout,
    smooth_labels,
    stochastic_depth,
)
from fathom.runtime import generator

_DRAWS = 200_000
_MASKS = {"log2": 4096}
_SMOOTHING = {"epsilon": 0.1, "target": 0.9, "other": 0.01}


def _masks() -> Judgement:
    """Each unit is kept or dropped, so n units have 2 to the n masks: counted for a layer of 4 by
    drawing, and computed for the hidden layers of AlexNet."""
    hidden = [m for m in meta_network("alexnet_2012").head if isinstance(m, nn.Linear)][:-1]
    units = {layer.out_features for layer in hidden}
    masks = 2 ** max(units)
    with seeded():
        drawn = dropout(torch.ones(2000, 4), 0.5, training=True)
    found = {
        "log2": masks.bit_length() - 1,
        "decimal digits": len(str(masks)),
        "more than 10^80": masks > 10**80,
        "masks seen of 4 units": len(torch.unique(drawn, dim=0)),
    }
    return Judgement(
        agreement(_MASKS["log2"], found["log2"]),
        found,
        f"2^4096 has {len(str(masks)):,} digits, the number of atoms about 81. A run draws almost "
        "none of these masks, and training works all the same because they share their weights.",
        "the hidden layers of fathom.models.alexnet, and fathom.regularize.dropout; Krizhevsky et "
        "al. 2012, Section 4.2",
    )


def _test_scale() -> Judgement:
    """Means over 200,000 draws of a value of one at drop 0.2: five standard errors of the wider of
    the two are 5 * sqrt(0.2 / 0.8 / 200000) = 0.006."""
    ones, drop, means = torch.ones(_DRAWS), 0.2, {}
    with seeded():
        for name, function in (("plain", plain_dropout), ("inverted", dropout)):
            for training in (True, False):
                mode = "training" if training else "evaluation"
                means[f"{name}, {mode}"] = float(function(ones, drop, training=training).mean())
    untouched = dropout(ones, drop, training=False) is ones
    gaps = [
        abs(means[f"{name}, training"] - means[f"{name}, evaluation"])
        for name in ("plain", "inverted")
    ]
    right = abs(means["plain, evaluation"] - (1 - drop)) < 1e-6 and untouched
    return Judgement(
        "demonstrated" if right and max(gaps) < 0.006 else "not-reproduced",
        {"drop": drop, **means},
        "In each form evaluation gives the mean of training over all masks: plain dropout passes "
        "on 1 - p of a value in both, inverted dropout all of it. That holds for the layer itself; "
        "behind a further nonlinear layer it is an approximation.",
        "fathom.regularize.plain_dropout and dropout; Srivastava et al. 2014, JMLR 15, Sections 4 "
        "and 10",
    )


def _label_smoothing() -> Judgement:
    """rows * (1 - epsilon) + epsilon / K; the number of classes is the K at which the other entries
    are what was stated."""
    epsilon, other = _SMOOTHING["epsilon"], _SMOOTHING["other"]
    classes = round(epsilon / other)
    row = smooth_labels(torch.tensor([0]), classes, epsilon)[0].double()
    found = {
        "classes": classes,
        "target": round(float(row[0]), 6),
        "other": round(float(row[1]), 6),
        "sum": round(float(row.sum()), 6),
        "sum as stated": round(_SMOOTHING["target"] + (classes - 1) * other, 6),
    }
    verdicts: dict[str, Verdict] = {
        name: agreement(_SMOOTHING[name], found[name], digits=digits)
        for name, digits in (("target", 2), ("other", 1))
    }
    return Judgement(
        worst(verdicts),
        found,
        f"With {classes} classes the other entries are {other:g} and the true one is "
        f"{found['target']:g}, because it gets its share of epsilon as well; as stated, the "
        f"{classes} numbers would sum to {found['sum as stated']:g}, so the share was probably "
        "forgotten. (Shared among the other classes only, epsilon / (K - 1), 0.9 and 0.01 belong "
        "to 11 classes.)",
        "fathom.regularize.smooth_labels; Szegedy et al. 2015, arXiv:1512.00567, Section 7",
    )


def _stochastic_depth() -> Judgement:
    """The last block of a ResNet-20 with drop 0.5, on 2,000 maps. Its other layers stay in
    evaluation mode, so that only the skipping is random; the paper's form (branch as it is in
    training, times the survival probability in evaluation) is computed beside."""
    drop, count = 0.5, 2000
    with seeded(), torch.no_grad():
        network = build_model("cifar_resnet20", stochastic_depth=drop).eval()
        block = [m for m in network.modules() if isinstance(m, Block)][-1]
        maps = torch.rand(1, 64, 4, 4).expand(count, 64, 4, 4)
        whole, branch = block(maps[:1]), block.branch(maps[:1])
        skip = next(m for m in block.branch if isinstance(m, StochasticDepth)).train()
        trained = block(maps)
        skipped = (trained == torch.relu(maps)).flatten(1).all(1)
        scaled = torch.relu(maps[:1] + branch / (1 - skip.drop))
        rest = (trained[~skipped] - scaled).abs().max()
        kept = stochastic_depth(branch.expand(count, -1, -1, -1), drop, training=True) != 0
        paper = kept.flatten(1).any(1).double().mean()
    changes_nothing = torch.equal(whole, torch.relu(maps[:1] + branch))
    found = {
        "blocks skipped, only the shortcut left": float(skipped.double().mean()),
        "distance of the others from x + branch / 0.5": float(rest),
        "mean factor of the branch, paper, training": float(paper),
        "factor of the branch, paper, evaluation": 1 - drop,
    }
    near = abs(found["blocks skipped, only the shortcut left"] - drop) < 0.06
    agrees = abs(float(paper) - (1 - drop)) < 0.06
    return Judgement(
        "demonstrated" if near and agrees and changes_nothing and rest < 1e-5 else "not-reproduced",
        found,
        "Half of the maps come out as the shortcut alone. The paper lets the others pass as they "
        "are and halves the branch in evaluation; Fathom, like other libraries, doubles it in "
        "training and changes nothing in evaluation, which has the same mean up to that factor.",
        "fathom.regularize.stochastic_depth in fathom.models.resnet; Huang et al. 2016, "
        "arXiv:1603.09382, Section 3, which skips a block for the whole batch, not for each image",
    )


def _random_labels(epsilon: float, classes: int) -> Tensor:
    """The mean of 200,000 labels of class 0, each replaced by any class with chance epsilon."""
    rng = generator("claims", "labels")
    replaced = torch.rand(_DRAWS, generator=rng) < epsilon
    anything = torch.randint(classes, (_DRAWS,), generator=rng)
    labels = torch.where(replaced, anything, torch.zeros(_DRAWS, dtype=torch.int64))
    return torch.bincount(labels, minlength=classes) / _DRAWS


def _table() -> Judgement:
    """Each regulariser twice on the same input with two seeds: what differs is random. Then what
    evaluation makes of it, and what the smoothed label is the mean of."""
    images = torch.rand(1, 3, 32, 32, generator=generator("claims", "image"))
    ones, labels = torch.ones(64, 8), torch.tensor([0])
    smoothed = smooth_labels(labels, 10, 0.1)

    def runs(seed: int) -> dict[str, Tensor]:
        rng = generator("claims", "table", seed)
        with seeded(seed):
            return {
                "dropout": dropout(ones, 0.5, training=True),
                "augmentation": colour_jitter(images, rng=rng),
                "cutout": cutout(images, size=16, rng=rng),
                "stochastic depth": stochastic_depth(ones, 0.5, training=True),
                "label smoothing": smooth_labels(labels, 10, 0.1),
            }

    one, other = runs(0), runs(1)
    random = {name: not torch.equal(one[name], other[name]) for name in one}
    whole = bool((one["stochastic depth"] == one["stochastic depth"][:, :1]).all())
    gap = float((_random_labels(0.1, 10) - smoothed[0]).abs().max())
    found = {
        "random": random,
        "plain dropout in evaluation, factor at drop 0.5": float(
            plain_dropout(ones, 0.5, training=False).mean()
        ),
        "stochastic depth drops whole branches": whole,
        "crops to average over": len(ten_crops(300, 400)),
        "label smoothing against the mean of random labels": round(gap, 4),
    }
    others = all(drawn for name, drawn in random.items() if name != "label smoothing")
    averaged = gap < 0.005 and not random["label smoothing"]
    return Judgement(
        "ambiguous" if others and whole and averaged else "not-reproduced",
        found,
        "Four rows are random in training; their factors in evaluation are those of the papers, "
        "while today's libraries scale in training and leave evaluation alone. Label smoothing "
        "draws nothing: it is the mean of labels that are random with chance epsilon, and its row "
        "holds only in that sense.",
        "fathom.regularize, fathom.data.photometric and fathom.data.crops; Szegedy et al. 2015, "
        "arXiv:1512.00567, Section 7",
    )


CLAIMS = (
    Claim(
        "dropout.masks",
        "computed",
        "4096 units can be dropped in 2^4096 ways, more than there are atoms (about 10^80)",
        _MASKS,
        _masks,
    ),
    Claim(
        "dropout.test_scale",
        "behaviour",
        "Plain dropout multiplies by 1 - p in evaluation; inverted dropout divides by 1 - p in "
        "training and leaves evaluation alone; the expectation is the same",
        {},
        _test_scale,
    ),
    Claim(
        "label_smoothing.example",
        "computed",
        "With epsilon 0.1 the label [1, 0, ..., 0] becomes [0.9, 0.01, ..., 0.01]",
        _SMOOTHING,
        _label_smoothing,
    ),
    Claim(
        "stochastic_depth",
        "behaviour",
        "In training whole residual blocks are skipped at random and only their shortcut stays; in "
        "evaluation all run, each branch times its survival probability",
        {},
        _stochastic_depth,
    ),
    Claim(
        "regularisers.table",
        "behaviour",
        "What is random, where, and in evaluation: dropout, activations of linear layers, times "
        "1 - p; augmentation, pixels, mean over crops; cutout, regions, the full image; stochastic "
        "depth, residual blocks, scaled; label smoothing, targets of the loss, hard labels",
        {},
        _table,
    ),
)
