"""What holds for every network of the zoo, whatever its family."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fathom
from fathom.errors import UserError
from fathom.models.base import ImageClassifier, TrainingLogits
from tests.models.test_parity import calm

NAMES = fathom.list_models()
ONE_EACH = list({fathom.model_card(name).family: name for name in reversed(NAMES)}.values())


def on_meta(name: str, **settings: object) -> ImageClassifier:
    """A network without memory or arithmetic."""
    with torch.device("meta"):
        return fathom.create_model(name, **settings)  # type: ignore[arg-type]


def sensible_size(model: ImageClassifier, image_size: int) -> int:
    """The smallest side with a map of more than one pixel to normalise over."""
    return min(image_size, max(32, model.min_size))


def loss_of(model: ImageClassifier, images: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy, with auxiliary classifiers at their weight."""
    output = model(images)
    if not isinstance(output, TrainingLogits):
        return F.cross_entropy(output.float(), targets)
    extra = sum(F.cross_entropy(a.float(), targets) for a in output.auxiliary)
    return F.cross_entropy(output.logits.float(), targets) + model.auxiliary_weight * extra


@pytest.mark.parametrize("name", NAMES)
def test_the_stage_table_is_the_networks(name: str) -> None:
    card = fathom.model_card(name)
    model = on_meta(name)
    images = torch.zeros(1, card.in_channels, card.image_size, card.image_size, device="meta")
    maps = [
        *([model.stem(images)] if card.stages[0].name == "stem" else []),
        *model.features(images),
    ]
    assert [(s.channels, s.size, s.size) for s in card.stages] == [tuple(m.shape[1:]) for m in maps]
    depths = [s.depth for s in card.stages if s.name != "stem"]
    blocks = [sum(isinstance(m, model.block_types) for m in s.modules()) for s in model.stages]
    assert depths == blocks
    assert card.block.count("\n") >= 1


@pytest.mark.parametrize("name", NAMES)
def test_classes_and_channels_are_free(name: str) -> None:
    model = on_meta(name, num_classes=7, in_channels=1).eval()
    side = max(64, model.min_size)
    assert model(torch.zeros(2, 1, side, side, device="meta")).shape == (2, 7)
    assert model.classifiers()[0] is model.head[-1]
    with pytest.raises(UserError, match="in_channels="):
        model(torch.zeros(2, 3, side, side, device="meta"))


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_size_is_the_smallest(name: str) -> None:
    model = on_meta(name).eval()
    side = model.min_size
    assert model(torch.zeros(1, 3, side, side, device="meta")).shape[0] == 1
    if side > 1:
        with pytest.raises(UserError, match=f"needs {side}"):
            model(torch.zeros(1, 3, side, side - 1, device="meta"))
        model.min_size = 1  # and it is no smaller: without the check PyTorch itself refuses
        with pytest.raises((RuntimeError, ValueError)):
            model(torch.zeros(1, 3, side - 1, side - 1, device="meta"))


@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_moves_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    model = fathom.create_model(name, num_classes=10).to(memory_format=torch.channels_last).train()
    side = sensible_size(model, fathom.model_card(name).image_size)
    images = torch.randn(4, 3, side, side).to(memory_format=torch.channels_last)
    loss = loss_of(model, images, torch.tensor([0, 3, 9, 3]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    for path, parameter in model.named_parameters():
        assert parameter.grad is not None, path
        assert torch.isfinite(parameter.grad).all(), path


@pytest.mark.parametrize("name", ONE_EACH)
def test_mixed_precision_trains(name: str) -> None:
    torch.manual_seed(0)
    model = fathom.create_model(name, num_classes=10).to(memory_format=torch.channels_last).train()
    side = sensible_size(model, fathom.model_card(name).image_size)
    images = torch.randn(4, 3, side, side)
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model, images, torch.tensor([0, 3, 9, 3]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def assert_exports_and_compiles(name: str) -> None:
    """The same logits after torch.export; torch.compile traces all of it (no code generated)."""
    torch.manual_seed(0)
    model = fathom.create_model(name, num_classes=10).eval()
    side = max(64, model.min_size)
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        expected = model(images)
        exported = torch.export.export(model, (images,)).module()(images)
        torch.testing.assert_close(exported, expected, rtol=1e-4, atol=1e-5)
    torch._dynamo.reset()
    model.train()
    copied = copy.deepcopy(model)
    torch.manual_seed(1)
    a = loss_of(model, images, torch.tensor([0, 3]))
    torch.manual_seed(1)
    compiled = torch.compile(copied, fullgraph=True, backend="aot_eager")
    output = compiled(images)
    logits = output.logits if isinstance(output, TrainingLogits) else output
    assert torch.isfinite(a)
    assert logits.shape == (2, 10)
    logits.sum().backward()


@pytest.mark.parametrize("name", ONE_EACH)
def test_export_and_compile(name: str) -> None:
    assert_exports_and_compiles(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ONE_EACH])
def test_export_and_compile_all(name: str) -> None:
    assert_exports_and_compiles(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_sixteen_can_be_learnt_by_heart(name: str) -> None:
    """Every image named right within 150 steps, with nothing random in the network."""
    torch.manual_seed(0)
    model = fathom.create_model(name, num_classes=4).to(memory_format=torch.channels_last).train()
    calm(model)
    side = sensible_size(model, fathom.model_card(name).image_size)
    images = torch.randn(16, 3, side, side).to(memory_format=torch.channels_last)
    targets = torch.arange(16) % 4
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, foreach=True)
    for _ in range(150):
        optimizer.zero_grad(set_to_none=True)
        output = model(images)
        logits = output.logits if isinstance(output, TrainingLogits) else output
        if bool((logits.argmax(1) == targets).all()):
            return
        loss = loss_of(model, images, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    pytest.fail(f"{int((logits.argmax(1) == targets).sum())} of 16 after 150 steps")
