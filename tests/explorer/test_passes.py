"""Passes are those of the experiment, made once, and the same from any thread."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from fathom.experiments.arms import comparing
from fathom.experiments.cell import Cell
from fathom.experiments.fresh import Fresh, fresh_network
from fathom.experiments.gradient_flow import _fresh, gradient_flow
from fathom.experiments.make import make_setting
from fathom.experiments.paths import gradients_by_length
from fathom.explorer import passes
from fathom.explorer.passes import FEW, looked_at, passed, walked
from fathom.runtime import choose_runtime
from fathom.training.setup import Setup, load_data


def test_a_pass_is_what_the_experiment_measures() -> None:
    """Depth 20, seed 3: the cell of `fathom experiment gradient-flow --data digits`."""
    setting = make_setting("digits", device="cpu")
    dataset = load_data(comparing(setting, "cifar_resnet20"), None)
    for arm in gradient_flow(setting).arms:
        cell = Cell(arm, 3, setting, lambda: dataset, choose_runtime("cpu"))
        assert arm.recipe is not None
        cell.setup = Setup.of(arm.recipe, dataset=dataset)
        kind, norm = arm.settings["kind"], arm.settings["norm"]
        found = passed(Fresh(20, kind == "residual", norm), 3).flow
        powers = [math.log10(gradient) for gradient in found.gradients]
        assert powers == pytest.approx(_fresh(cell, 20, "Kaiming"))


def test_the_paths_are_those_of_the_first_images() -> None:
    fresh = Fresh(8, True)
    batch = looked_at()
    model = fresh_network(fresh, 0, num_classes=10, in_channels=1)
    parts = gradients_by_length(model, batch.images[:FEW].double(), batch.targets[:FEW])
    whole = parts.sum(0)
    found = walked(fresh, 0).shares
    assert len(found) == 4
    assert found == pytest.approx([float((p * whole).sum() / whole.square().sum()) for p in parts])


def test_threads_get_the_same_and_one_pass_is_made() -> None:
    passes._pass.cache_clear()
    fresh = Fresh(8, False)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: passed(fresh, 1), range(4)))
    assert all(one is found[0] for one in found)
    assert passes._pass.cache_info().misses == 1
    passes._pass.cache_clear()
    assert passed(fresh, 1).flow == found[0].flow
