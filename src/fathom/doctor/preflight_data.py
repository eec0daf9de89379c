"""The tests of the pre-flight that look at the data, and at what pretrained weights say of them."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor

from fathom.data.batches import evaluation_batches
from fathom.data.catalog import ImageList
from fathom.data.decode import BadImageError
from fathom.data.load import Dataset, Split
from fathom.data.views import centre_view
from fathom.doctor.preflight_result import Result
from fathom.errors import UserError
from fathom.features.backbone import Backbone
from fathom.features.extract import Features, Looks, balanced_order, extract, first_of, gather
from fathom.training.setup import Setup
from fathom.transfer.fits import check_fit
from fathom.transfer.nearest import fit_neighbours

_SAMPLE = 128  # images of all classes
_FLAT = 2.0  # levels of standard deviation, as in `fathom.transfer.fits`
_BLANK = 0.05  # of the images
_SHARED = 0.01  # of the images that judge
_IMBALANCE = 10.0
_FEATURES, _SECONDS = 500, 15.0  # images that are compared by features, and the time for it
_SURE = 3.0  # standard errors


def sample(dataset: Dataset, count: int = _SAMPLE) -> tuple[Tensor, Tensor]:
    """Evaluation views (N, C, S, S) uint8 of some training images of every class, and their classes.

    Files that cannot be read are left out. Raises UserError where none can.
    """
    split, view = dataset.splits["train"], dataset.preprocess
    views, targets = [], []
    for place in balanced_order(split.images.targets, 0)[:count].tolist():
        try:
            views.append(_view(dataset, split, place))
        except BadImageError:
            continue
        targets.append(split.images.targets[place])
    if not views:
        raise UserError(f"none of {count} sampled training images is readable; see the files")
    return torch.stack(views), torch.tensor(targets)
