"""Every row notices an augmentation that does not do what is claimed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor

import fathom.data.batches
from fathom.data.crops import random_scale_view
from fathom.data.mixing import blend, cutmix, draw_lam, paste, soft
from fathom.ledger import augmentation
from fathom.ledger.augmentation import CLAIMS
from fathom.ledger.claim import Judgement
from fathom.preprocess import Preprocess

ROWS = {claim.id: claim for claim in CLAIMS}


def judged(name: str) -> Judgement:
    return ROWS[name].judge()


def test_the_section_is_whole() -> None:
    assert {claim.id: claim.kind for claim in CLAIMS} == {
        "augment.flip": "behaviour",
        "augment.scale_crop": "behaviour",
        "augment.color_jitter": "behaviour",
        "augment.cutout": "behaviour",
        "augment.mixup": "behaviour",
        "augment.cutmix": "behaviour",
        "augment.train_random_test_fixed": "behaviour",
        "augment.label_preserving": "experiment",
        "tta.fifty_views": "behaviour",
        "tta.gain": "experiment",
    }


@pytest.mark.parametrize("name", [n for n, claim in ROWS.items() if claim.kind == "behaviour"])
def test_what_fathom_does_is_what_is_claimed(name: str) -> None:
    row = judged(name)
    assert row.verdict == "demonstrated"
    assert json.loads(json.dumps(dict(row.computed))) == dict(row.computed)
    assert judged(name).computed == row.computed, "the same every time"


def upside_down(views: Tensor, _: Any, preprocess: Preprocess, rng: torch.Generator) -> Tensor:
    flips = torch.rand(len(views), generator=rng) < 0.5
    images = preprocess.normalise(views)
    return torch.where(flips[:, None, None, None], images.flip(2), images)


def unclipped(images: Tensor, targets: Tensor, **settings: Any) -> tuple[Tensor, Tensor]:
    """CutMix whose labels weigh as lam was drawn, not as the box was cut."""
    state = settings["rng"].get_state()
    mixed, _ = cutmix(images, targets, **settings)
    settings["rng"].set_state(state)
    lam = draw_lam(settings["alpha"], settings["rng"])
    partners = torch.tensor([1, 0])
    return mixed, blend(soft(targets, 2), partners, lam)


def same(images: Tensor, **_: Any) -> Tensor:
    return images


@pytest.mark.parametrize(
    ("name", "function", "fault"),
    [
        ("augment.flip", "augment_batch", upside_down),
        ("augment.color_jitter", "colour_jitter", same),
        ("augment.cutout", "cutout", same),
        ("augment.mixup", "blend", lambda values, partners, lam: blend(values, partners, 0.5)),
        ("augment.cutmix", "cutmix", unclipped),
        ("augment.train_random_test_fixed", "_crop_of", lambda epoch, position: b"the same"),
        ("tta.fifty_views", "RESNET_SCALES", (224, 256, 384, 480)),
    ],
)
def test_a_fault_is_noticed(
    monkeypatch: pytest.MonkeyPatch, name: str, function: str, fault: Any
) -> None:
    monkeypatch.setattr(augmentation, function, fault)
    assert judged(name).verdict == "not-reproduced"


def test_other_limits_of_the_scale_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        augmentation,
        "random_scale_view",
        lambda height, width, rng: random_scale_view(height, width, high=512, rng=rng),
    )
    assert judged("augment.scale_crop").verdict == "not-reproduced"


def test_augmentation_that_repeats_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def repeated(views: Tensor, _: Any, preprocess: Preprocess, rng: Any, **options: Any) -> Tensor:
        return preprocess.normalise(views)

    monkeypatch.setattr(fathom.data.batches, "augment_batch", repeated)
    assert judged("augment.train_random_test_fixed").verdict == "not-reproduced"


def test_pasting_all_of_a_batch_still_counts_pixels() -> None:
    """The counting of the CutMix row, by hand: 2 x 3 of 4 x 6 pixels are a quarter."""
    images = torch.stack([torch.zeros(1, 4, 6), torch.ones(1, 4, 6)])
    assert float(paste(images, torch.tensor([1, 0]), (3, 2, 6, 4))[0].mean()) == 0.25


def test_the_number_of_different_views() -> None:
    """At scale 224 a square leaves 1 place and 400 x 300 leaves 3 (left, right, middle); the four
    larger scales leave 5 each; twice for the mirrored ones."""
    row = judged("tta.fifty_views").computed
    assert row["different views, square"] == 2 * (1 + 4 * 5)
    assert row["different views, 400 x 300"] == 2 * (3 + 4 * 5)
