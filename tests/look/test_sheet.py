"""A sheet says what each way to look says by itself, and its picture has room for all."""

from __future__ import annotations

import json

import pytest
import torch

from fathom.errors import UserError
from fathom.look.attend import grad_cam
from fathom.look.draw import draw
from fathom.look.occlude import occlude
from fathom.look.project import project
from fathom.look.sheet import look
from tests.images import noise
from tests.look.tiny import NAMES, PREPROCESS, Tiny, classifier, untouched, view


def test_a_sheet_is_made_of_what_the_methods_find() -> None:
    found, pixels = classifier(1), noise(1, 16, 16)
    before = untouched(found.model)
    sheet = look(found, pixels, target="bee", stage=1, channel=2)
    assert untouched(found.model) == before
    model, images = found.model, PREPROCESS.normalise(sheet.view[None])
    assert isinstance(model, Tiny)
    assert torch.equal(sheet.view, torch.from_numpy(pixels).permute(2, 0, 1))
    assert torch.equal(sheet.attention.heat, grad_cam(model, images, target=3, stage=0).heat)
    assert torch.equal(sheet.projection.pixels, project(model, images, stage=0, channel=2).pixels)
    same = occlude(found, sheet.view, target=3)
    assert torch.equal(sheet.occlusion.probabilities, same.probabilities)
    prediction = found.predict(pixels)[0].top
    assert [name for name, _ in sheet.top] == [name for name, _ in prediction]
    assert [chance for _, chance in sheet.top] == pytest.approx([c for _, c in prediction])
    assert [len(stage) for stage in sheet.maps] == [8, 4]
    assert sheet.patches == ()
    told = json.loads(json.dumps(sheet.to_dict()))
    assert (told["class"], told["stage"], told["deconvolution"]["channel"]) == ("bee", 1, 2)
    assert told["filters"] == [6, 3, 3, 3]


def test_the_likeliest_class_and_the_last_stage_unless_said() -> None:
    sheet = look(classifier(2), noise(2, 20, 30))
    assert NAMES[sheet.target] == sheet.top[0][0]
    assert sheet.stage == 1


def test_patches_come_from_the_pictures_given() -> None:
    views = torch.stack([view(seed) for seed in range(4)])
    sheet = look(classifier(), noise(0, 16, 16), stage=1, among=(["a", "b", "c", "d"], views))
    assert sheet.patches
    told = sheet.to_dict()["patches"]
    assert {one["picture"] for one in told} <= {"a", "b", "c", "d"}
    without = draw(look(classifier(), noise(0, 16, 16), stage=1), title="one")
    assert draw(sheet, title="one").height > without.height
    assert draw(sheet, title="one").width == without.width


def test_a_class_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match="unknown class 'cow'"):
        look(classifier(), noise(0, 16, 16), target="cow")


def test_names_that_are_no_text_can_be_drawn() -> None:
    found = classifier()
    found.class_names = tuple(f"\udcff{name}" * 30 for name in NAMES)
    assert draw(look(found, noise(0, 16, 16)), title="\udcff" * 200).size[0] > 900
