"""The doctor in a fastai learner: a healthy run on digits, and one whose network ends in a softmax.

fastai is none of Fathom's dependencies, so this is run by hand, where both are installed:

    PYTHONPATH=src python benchmarks/doctor_in_fastai.py
"""

from __future__ import annotations

import random
from typing import Any

import fastai.callback.schedule  # noqa: F401  gives learners fit_one_cycle
import numpy as np
import torch
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

import fathom
from fathom.doctor.diagnose import Verdict

EPOCHS = 8


def loaders() -> Any:
    """fastai's own loaders of the handwritten digits."""
    found = load_digits()
    order = torch.randperm(len(found.images), generator=torch.Generator().manual_seed(0))
    images = ((torch.tensor(found.images, dtype=torch.float32) / 16 - 0.305) / 0.376)[order, None]
    targets = torch.tensor(found.target)[order]
    train = TensorDataset(images[:1400], targets[:1400])
    val = TensorDataset(images[1400:], targets[1400:])
    return DataLoaders.from_dsets(train, val, bs=32, num_workers=0, device=torch.device("cpu"))


def network(*last: nn.Module) -> nn.Module:
    """A small network, with whatever is put behind its logits."""
    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    pooled = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10)]
    return nn.Sequential(*layers, *pooled, *last)


def diagnosed(model: nn.Module) -> Verdict:
    """What the doctor says of a run with fastai's loop and its one-cycle schedule."""
    dls = loaders()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    learn = Learner(
        dls, model, loss_func=nn.CrossEntropyLoss(), opt_func=OptimWrapper(opt=optimizer)
    )
    watch = fathom.watch(model, optimizer, train=dls.train, val=dls.valid, every=10)
    optimizer.register_step_post_hook(
        lambda *_: watch.step(learn.loss, learn.yb[0])  # type: ignore[arg-type]
    )
    learn.remove_cb(ProgressCallback)
    learn.fit_one_cycle(EPOCHS, 0.05)
    return watch.verdict()


def main() -> None:
    """A healthy run, and a sick one."""
    for name, last in (("healthy", ()), ("softmax before the loss", (nn.Softmax(1),))):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        verdict = diagnosed(network(*last))
        top1 = {exam.split: f"{exam.top1:.1%}" for exam in verdict.observed.exams}
        print(f"--- {name}: {top1}\n{verdict}")


if __name__ == "__main__":
    main()
