"""The effective receptive field stage by stage; its bell is in test_measure."""

from __future__ import annotations

import pytest
import torch

import fathom
from fathom.costs.effective import effective_field
from fathom.errors import UserError


def test_every_stage_has_its_own_field() -> None:
    torch.manual_seed(0)
    model = fathom.create_model("cifar_resnet20")
    found = [effective_field(model, image_size=96, stage=stage, samples=2) for stage in range(3)]
    # A 3x3 stem and six convolutions; then six with pixels two, and six with pixels four apart,
    # of which the first of a stage still reads the map before.
    allowed = [1 + 2 * 7, 1 + 2 * 7 + 2 + 4 * 5, 1 + 2 * 7 + 2 + 4 * 5 + 4 + 8 * 5]
    assert [f.theoretical and f.theoretical.size[0] for f in found] == allowed
    for field, size in zip(found, allowed, strict=True):
        rows, columns = (int(c) for c in field.centre)
        outside = field.heat.clone()
        half = size // 2
        outside[rows - half : rows + half + 1, columns - half : columns + half + 1] = 0
        assert outside.sum() == 0, "no pixel outside the theoretical field moves it"
        assert 0 < field.size < size
    last = effective_field(model, image_size=96, samples=2)
    assert torch.equal(last.heat, found[-1].heat)


@pytest.mark.parametrize("stage", [3, -4])
def test_a_stage_that_is_not_there_is_refused(stage: int) -> None:
    with pytest.raises(UserError, match=f"stage is {stage}; this network has stages 0 to 2"):
        effective_field(fathom.create_model("cifar_resnet20"), image_size=32, stage=stage)
