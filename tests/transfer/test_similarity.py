"""How near images are to a pretraining: each sign against its definition."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fathom.models.registry import build_model
from fathom.transfer import similarity
from fathom.transfer.similarity import (
    FAR,
    NEAR,
    Domain,
    NormStatistics,
    measure_domain,
    norm_distance,
    norm_statistics,
)
from tests.accelerator import on_apple
from tests.transfer.features import some_features

deterministic = settings(deadline=None, derandomize=True, database=None, max_examples=25)
means, variances = st.floats(-2, 2), st.floats(0.05, 4)


def channel(mean: float, var: float, seen_mean: float, seen_var: float) -> NormStatistics:
    return NormStatistics(*(torch.tensor([v]).double() for v in (mean, var, seen_mean, seen_var)))


@deterministic
@given(mean=means, var=variances, seen_mean=means, seen_var=variances)
def test_the_distance_is_hellingers(
    mean: float, var: float, seen_mean: float, seen_var: float
) -> None:
    found = norm_distance([channel(mean, var, seen_mean, seen_var)])
    x = np.linspace(-25, 25, 200_001)
    floor = 0.001 * var

    def density(middle: float, width: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.exp(-((x - middle) ** 2) / (2 * width)) / math.sqrt(2 * math.pi * width)

    overlap = np.sqrt(density(mean, var + floor) * density(seen_mean, seen_var + floor))
    assert found == pytest.approx(1 - np.trapezoid(overlap, x), abs=1e-6)


@deterministic
@given(mean=means, var=variances, shift=st.floats(0, 3))
def test_the_distance_is_none_at_home_and_grows_up_to_one(
    mean: float, var: float, shift: float
) -> None:
    home = norm_distance([channel(mean, var, mean, var)])
    away = norm_distance([channel(mean, var, mean + shift, var)])
    further = norm_distance([channel(mean, var, mean + shift + 1, var)])
    assert home == pytest.approx(0, abs=1e-12)
    assert away is not None
    assert further is not None
    assert -1e-12 <= away < further <= 1


def test_every_norm_counts_the_same_and_constant_channels_are_finite() -> None:
    near = channel(0, 1, 0, 1)
    wide = NormStatistics(*(torch.tensor([v] * 9).double() for v in (0, 1, 5, 0)))
    one, both = norm_distance([wide]), norm_distance([near, wide])
    assert one is not None
    assert both == pytest.approx(one / 2)
    assert 0.9 < one <= 1
    assert norm_distance([]) is None


class Small(nn.Module):
    """Two norms in a row, one that is never used, and one that keeps no statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.unused = nn.BatchNorm2d(4)
        self.other = nn.BatchNorm2d(4, track_running_stats=False)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.other(self.second(self.first(self.conv(images)).relu()))
        return maps


def test_statistics_are_those_of_the_inputs_of_each_norm() -> None:
    torch.manual_seed(0)
    model = Small().train()
    nn.init.uniform_(model.first.weight, 0.5, 2)
    images = torch.randn(12, 3, 9, 9) * 2 + 1
    first, second = norm_statistics(model, [images[:5], images[5:]])
    assert model.training
    assert not model.first._forward_pre_hooks
    assert torch.equal(model.state_dict()["first.running_mean"], torch.zeros(4))
    model.eval()
    with torch.no_grad():
        maps = model.conv(images)
        later = model.first(maps).relu()
    for found, expected in ((first, maps), (second, later)):
        torch.testing.assert_close(found.seen_mean.float(), expected.mean((0, 2, 3)))
        flat = expected.transpose(0, 1).flatten(1)
        torch.testing.assert_close(found.seen_var.float(), flat.var(1, correction=0))
        assert torch.equal(found.mean, torch.zeros(4).double())
        assert torch.equal(found.var, torch.ones(4).double())


def test_statistics_need_no_float64_of_the_device() -> None:
    torch.manual_seed(0)
    model, images = Small(), torch.randn(6, 3, 9, 9)
    expected = norm_statistics(model, [images])
    for module in (model.first, model.second):
        for name, buffer in list(module.named_buffers()):
            setattr(module, name, on_apple(buffer))
    found = norm_statistics(model, [on_apple(images)])
    for ours, theirs in zip(found, expected, strict=True):
        assert all(map(torch.equal, ours, theirs))


def test_images_of_the_training_are_near_and_noise_is_not() -> None:
    torch.manual_seed(0)
    model = build_model("resnet18", num_classes=10)
    smooth = nn.functional.interpolate(torch.randn(24, 3, 6, 6), size=48, mode="bicubic")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain average over all batches
    with torch.no_grad():
        model.train()(smooth)
    home = norm_distance(norm_statistics(model, [smooth[:12]]))
    away = norm_distance(norm_statistics(model, [torch.randn(12, 3, 48, 48)]))
    assert home is not None
    assert away is not None
    assert home < 0.01
    assert away > 0.05


def some_domain(**changes: object) -> Domain:
    values = {
        "images": 300, "stages": (0.5, 0.7, 0.7, 0.6), "neighbours": 0.6, "confidence": 0.4,
        "entropy": 2.0, "used_classes": 30.0, "agreement": 0.2, "norm_distance": 0.05, **changes,
    }  # fmt: skip
    return Domain(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("distance", "reading"),
    [
        (0.0, "near"),
        (NEAR - 1e-6, "near"),
        (NEAR, "somewhat different"),
        (FAR - 1e-6, "somewhat different"),
        (FAR, "far"),
        (1.0, "far"),
        (None, "unknown"),
    ],
)
def test_one_word_is_read_from_the_distance(distance: float | None, reading: str) -> None:
    assert (NEAR, FAR) == (0.038, 0.105)
    assert some_domain(norm_distance=distance).reading == reading


def test_the_peak_is_the_last_of_equals() -> None:
    assert some_domain().peak == 2
    assert some_domain(stages=()).peak is None


def test_a_domain_survives_json() -> None:
    domain = some_domain()
    values = domain.to_dict()
    assert values["peak"] == 2
    assert values["reading"] == "somewhat different"
    assert Domain.from_dict({**values, "stages": list(values["stages"])}) == domain


def test_a_domain_holds_all_that_can_be_measured() -> None:
    values, targets = some_features((30, 30, 30), apart=3)
    noise = torch.randn(90, 5, generator=torch.Generator().manual_seed(0))
    logits = 20 * torch.nn.functional.one_hot(2 - targets, 7).float()
    domain = measure_domain(
        values, targets, stages=(noise, values), logits=logits, norms=[channel(0, 1, 0, 1)], seed=0
    )
    assert domain.images == 90
    early, late, last = domain.stages
    assert early < 0.6 < 0.9 < late == last
    assert domain.peak == 2
    assert domain.neighbours is not None
    assert domain.neighbours > 0.9
    assert domain.confidence == pytest.approx(1, abs=1e-6)
    assert domain.entropy == pytest.approx(0, abs=1e-5)
    assert domain.used_classes == pytest.approx(3)
    assert domain.agreement == pytest.approx(1)
    assert domain.reading == "near"


def test_what_the_classifier_says_is_its_definition() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(400, 6, generator=rng)
    values, targets = some_features((200, 200))
    domain = measure_domain(values, targets, stages=(), logits=logits, norms=(), seed=0)
    confidence = entropy = 0.0
    used = [0] * 6
    for row in logits.tolist():
        shares = [math.exp(v) / sum(map(math.exp, row)) for v in row]
        confidence += max(shares) / 400
        entropy -= sum(p * math.log(p) for p in shares) / 400
        used[shares.index(max(shares))] += 1
    assert domain.confidence == pytest.approx(confidence, rel=1e-5)
    assert domain.entropy == pytest.approx(entropy, rel=1e-5)
    spread = -sum(n / 400 * math.log(n / 400) for n in used)
    assert domain.used_classes == pytest.approx(math.exp(spread), rel=1e-6)
    assert domain.agreement == pytest.approx(0, abs=0.03)  # random classes tell nothing


def test_what_cannot_be_measured_is_left_out() -> None:
    values, targets = some_features((1, 1, 5))
    domain = measure_domain(values, targets, stages=(values,), logits=None, norms=(), seed=0)
    assert domain == Domain(7, (), None, None, None, None, None, None)


def test_classes_of_one_image_do_not_keep_others_from_being_probed() -> None:
    values, targets = some_features((1, 20, 20), apart=4)
    domain = measure_domain(values, targets, stages=(values,), logits=None, norms=(), seed=0)
    assert min(domain.stages) > 0.9


def test_many_images_are_probed_on_some_drawn_by_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "_MOST_IMAGES", 30)
    targets = torch.tensor([5] * 20 + [3] * 40 + [7, *range(8, 28)])
    chosen, classes = similarity._sample(targets, 0)
    assert len(chosen) <= 30
    assert len(set(chosen.tolist())) == len(chosen)
    assert set(targets[chosen].tolist()) <= {3, 5}
    counts = torch.bincount(classes)
    assert len(counts) >= 2
    assert counts.min() >= 2
    known = sorted(set(targets[chosen].tolist()))
    assert [known[i] for i in classes.tolist()] == targets[chosen].tolist()
    assert torch.equal(similarity._sample(targets, 0)[0], chosen)
    assert not torch.equal(similarity._sample(targets, 1)[0], chosen)
