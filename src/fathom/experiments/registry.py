"""The experiments by name. Free of PyTorch until one is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from fathom.errors import unknown

if TYPE_CHECKING:
    from fathom.experiments.nouns import Experiment, Setting


@dataclass(frozen=True)
class Known:
    """Where an experiment's function is, and what it shows in a line.

    minutes: of training on two cores where nobody says how many; None where no arm has a recipe, so
    that minutes, steps and images have no effect. weights: whether it uses pretrained weights.
    """

    module: str
    shows: str
    source: str
    minutes: float | None = 10.0
    weights: bool = False


EXPERIMENTS: Mapping[str, Known] = {
    "degradation": Known(
        "degradation",
        "plain networks get worse with depth, in training too; residual ones do not",
        "arXiv:1512.03385, Figures 1 and 6",
        15.0,
    ),
    "identity": Known(
        "identity",
        "56 plain layers can compute what 20 trained ones do; training may not find it",
        "arXiv:1512.03385, Section 1",
    ),
    "gradient-flow": Known(
        "gradient_flow",
        "the gradient by layer, with skips, norms and initialisations; deleting blocks",
        "arXiv:1512.03385, Section 4.1; arXiv:1605.06431",
    ),
    "landscape": Known(
        "landscape",
        "the loss around trained plain and residual networks, as contours",
        "arXiv:1712.09913, Figures 1 and 5",
    ),
    "initialisation": Known(
        "initialisation",
        "the scale of activations and gradients through 50 layers, by the deviation of weights",
        "arXiv:1502.01852, Section 2.2",
        None,
    ),
    "covariate-shift": Known(
        "covariate_shift",
        "how far the inputs of layers drift in training, with batch norm and without",
        "arXiv:1502.03167, Sections 2 and 4.1; arXiv:1805.11604",
    ),
    "bn-placement": Known(
        "bn_placement",
        "batch norm before the activation and after it, equal steps",
        "arXiv:1502.03167, Section 3.2; arXiv:1606.02228",
    ),
    "norms": Known(
        "norms",
        "batch, layer, instance and group norm against the images that go through at once",
        "arXiv:1803.08494, Figure 1 and Table 1",
    ),
    "bn-eval-bug": Known(
        "bn_eval_bug",
        "a good network evaluated in training mode, by batch size and order of the images",
        "arXiv:1502.03167, Section 3.1",
        5.0,
    ),
    "relu-tanh": Known(
        "relu_tanh",
        "steps to a training error of 25 %, ReLU against tanh",
        "Krizhevsky et al. 2012, Section 3.1 and Figure 1",
    ),
    "aux-heads": Known(
        "aux_heads",
        "GoogLeNet with and without auxiliary classifiers: gradient early, accuracy late",
        "arXiv:1409.4842, Section 5; arXiv:1512.00567, Section 4",
    ),
    "cardinality": Known(
        "equal_cost",
        "depth, width or cardinality at equal cost",
        "arXiv:1611.05431, Tables 3 and 4",
    ),
    "dense-reuse": Known(
        "dense_reuse",
        "which earlier maps a dense network's layers really use",
        "arXiv:1608.06993, Section 5 and Figure 5",
    ),
    "se-gates": Known(
        "se_gates",
        "channel gates by class and depth",
        "arXiv:1709.01507, Section 7.2 and Figure 6",
    ),
    "compound-scaling": Known(
        "equal_cost",
        "depth, width and resolution, alone and together, at equal cost",
        "arXiv:1905.11946, Section 3 and Table 7",
    ),
    "road": Known(
        "road",
        "the steps from ResNet-50 to ConvNeXt, accuracy beside cost",
        "arXiv:2201.03545, Figure 2",
        20.0,
    ),
    "methodology": Known(
        "methodology",
        "an old and a newer network, each under an old and a modern recipe",
        "arXiv:2110.00476, Section 1; arXiv:2201.03545, Section 2.1",
    ),
    "regularisers": Known(
        "regularisers",
        "the gap between training and test accuracy by technique, on few images",
        "arXiv:1207.0580; arXiv:1710.09412; arXiv:1708.04552; arXiv:1603.09382",
    ),
    "tta-gain": Known(
        "tta_gain",
        "averaging views of a picture gains a little, and costs a forward pass each",
        "Krizhevsky et al. 2012, Section 4.1; arXiv:1512.03385, Section 3.4",
        None,
        True,
    ),
    "label-keeping": Known(
        "label_keeping",
        "a change that keeps the class on one kind of images makes another class on the next",
        "Fathom",
        None,
    ),
    "transfer": Known(
        "transfer",
        "probe, partial, fine-tuning and scratch on few images, at equal time",
        "arXiv:2202.10054; Fathom",
        None,
        True,
    ),
    "transfer-far": Known(
        "transfer",
        "the same on images unlike those of the pretraining, where features carry over less",
        "arXiv:1411.1792; Fathom",
        None,
        True,
    ),
    "transfer-rate": Known(
        "transfer_rate",
        "the best learning rate from pretrained weights against that from fresh ones",
        "a rule of practice",
        None,
        True,
    ),
}


def known_experiment(name: str) -> Known:
    """The experiment of this name. Raises UserError, naming the nearest, where there is none."""
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS, "`fathom experiment` lists all.")
    return EXPERIMENTS[name]


def function_of(name: str) -> Callable[[Setting], Experiment]:
    """The function that makes an experiment; its docstring is what there is to say of it."""
    module = import_module(f"fathom.experiments.{known_experiment(name).module}")
    found: Callable[[Setting], Experiment] = getattr(module, name.replace("-", "_"))
    return found


def about(name: str) -> str:
    """All that is said of an experiment: source, command, measured result, departures."""
    return inspect.getdoc(function_of(name)) or ""
