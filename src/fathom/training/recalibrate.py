"""Batch-norm statistics measured anew, for weights that were not trained with the running ones."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fathom.data.batches import Batch
from fathom.evaluate import autocast
from fathom.layers import FrozenBatchNorm2d
from fathom.runtime import Runtime


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """The batch norms of a network whose statistics are learnt: all but frozen and kept ones."""
    kept = {module for part in getattr(model, "kept", ()) for module in part.modules()}
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm)
        and not isinstance(module, FrozenBatchNorm2d)
        and module not in kept
    ]


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[Batch], runtime: Runtime) -> None:
    """Set the statistics of the batch norms to plain averages over the batches.

    Means and (unbiased) variances of each batch count alike. Everything but batch norm is in
    evaluation mode, so that nothing is drawn and the activations are those that evaluation sees.
    Source: Izmailov et al. 2018, arXiv:1803.05407, Section 3.2, for averaged weights.
    """
    norms, training = batch_norms(model), model.training
    model.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.train().momentum = None  # PyTorch's sign for a plain average
    with autocast(runtime):
        for batch in batches:
            model(batch.images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(training)
