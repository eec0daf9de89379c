"""Batches as pictures: in the order of the split, with the pixels and shares they hold."""

from dataclasses import replace

import numpy as np
import torch

from fathom.data.batches import Batch
from fathom.preprocess import Preprocess
from fathom.preview.looks import looks
from tests.images import array_catalog, loaded, noise

VIEW = Preprocess(8, 8, 3, (0.4, 0.5, 0.6), (0.2, 0.3, 0.1))


def test_pictures_come_back_from_a_batch_with_their_labels() -> None:
    dataset = replace(loaded(array_catalog({"cat": 3, "dog": 3})), preprocess=VIEW)
    pixels = [noise(seed) for seed in range(3)]
    views = torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).copy())
    rows = torch.tensor([[1.0, 0.0], [0.25, 0.75], [0.0, 1.0]])
    places = torch.tensor([2, 0, 1])
    found = looks(Batch(VIEW.normalise(views)[places], rows[places], places), dataset)
    assert all(np.array_equal(look.picture, p) for look, p in zip(found, pixels, strict=True))
    assert [look.shares for look in found] == [
        (("cat", 1.0),),
        (("dog", 0.75), ("cat", 0.25)),
        (("dog", 1.0),),
    ]


def test_classes_may_be_given_as_indices() -> None:
    dataset = replace(loaded(array_catalog({"cat": 3, "dog": 3})), preprocess=VIEW)
    batch = Batch(torch.zeros(2, 3, 8, 8), torch.tensor([1, 0]), torch.tensor([0, 1]))
    found = looks(batch, dataset)
    assert [look.shares for look in found] == [(("dog", 1.0),), (("cat", 1.0),)]
    assert found[0].picture[0, 0].tolist() == [102, 128, 153], "zero is the mean colour"
