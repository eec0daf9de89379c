"""The table of training memory, counted again."""

from __future__ import annotations

import pytest
import torch

import fathom
from fathom.costs.memory import memory
from fathom.costs.step_memory import BATCH, STEP_BYTES


def test_every_network_has_its_figure_in_the_order_of_the_story() -> None:
    assert list(STEP_BYTES) == fathom.list_models()


@pytest.mark.parametrize("name", fathom.list_models())
def test_the_figure_is_what_a_step_counts(name: str) -> None:
    card = fathom.model_card(name)
    with torch.device("meta"):
        model = fathom.create_model(name)
    shape = (BATCH, card.in_channels, card.image_size, card.image_size)
    assert STEP_BYTES[name] == memory(model, shape).training
