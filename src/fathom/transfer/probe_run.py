"""A probe as an ordinary run: backbone and fitted head in one network, evaluated and described."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import torch

from fathom.costs import cost
from fathom.data.batches import evaluation_batches
from fathom.data.load import Dataset
from fathom.evaluate import Evaluation, evaluate
from fathom.runtime import configured
from fathom.training.checkpoint import fingerprint, save_checkpoint
from fathom.training.describe import describe, write_result
from fathom.training.recipe import Recipe
from fathom.training.reports import Finished
from fathom.training.run import Run
from fathom.training.setup import Setup
from fathom.training.state import TrainState
from fathom.transfer.probe import Probe


def write_probe(
    folder: Path,
    recipe: Recipe,
    dataset: Dataset,
    probe: Probe,
    *,
    started: float,
    command: str | None = None,
) -> Finished:
    """Write the run of a probe, and measure it on the images that judge.

    Raises UserError for a folder that is in use.
    """
    setup = Setup.of(recipe, dataset=dataset)
    model = setup.model
    classifier = model.classifiers()[0]
    with torch.no_grad():
        classifier.weight.copy_(probe.weight)
        assert classifier.bias is not None
        classifier.bias.copy_(probe.bias)
    run = Run.create(folder, recipe, command)
    describe(run, setup)
    price = cost(
        model, image_size=dataset.preprocess.image_size, in_channels=dataset.preprocess.channels
    )
    run.write("cost", {"params": price.params, "macs": price.macs, "flops": price.flops})
    run.write(
        "probe",
        {
            "strength": probe.strength,
            "folds": probe.folds,
            "cv_top1": probe.cv_top1,
            "cv_loss": probe.cv_loss,
            "cv_ece": probe.cv_ece,
            "scores": [asdict(score) for score in probe.scores],
        },
    )
    found = _judged(setup)
    state = TrainState.fresh(model, recipe, setup.runtime)
    seconds = time.monotonic() - started
    weights = model.state_dict()
    tensors = {f"model.{name}": value for name, value in weights.items()}
    save_checkpoint(run.checkpoints, "last", tensors, {**state.values(), "seconds": seconds})
    finished = Finished(
        run=folder,
        evaluation=found,
        weights="last",
        weights_sha256=fingerprint(weights),
        epochs=0.0,
        steps=0,
        seconds=seconds,
        stopped_early=False,
    )
    write_result(run, finished, dataset)
    return finished


def _judged(setup: Setup) -> Evaluation:
    dataset, runtime = setup.dataset, setup.runtime
    with configured(runtime):
        batches = evaluation_batches(
            dataset.splits[dataset.judge],
            dataset.preprocess,
            batch_size=64,
            runtime=runtime,
            workers=setup.recipe.data.workers,
        )
        return evaluate(
            setup.model,
            batches,
            runtime,
            split=dataset.judge,
            class_names=dataset.class_names,
        )


def checkpoint_of(folder: Path) -> Path:
    """The file of the weights that a run keeps: its best ones where it chose, else the last."""
    return next(
        file
        for name in ("best", "last")
        for file in sorted((folder / "checkpoints").glob(f"{name}-*.safetensors"))
    )
