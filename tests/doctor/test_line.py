import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.doctor import line
from fathom.doctor.line import MULTIPLES, judged, logits_of, losses_along, untouched

from .checks.made import Tiny, pictures

IMAGES, TARGETS = pictures(20)


def moved() -> tuple[nn.Module, list[Tensor]]:
    """A network after a step, and its parameters before."""
    torch.manual_seed(0)
    model = Tiny()
    before = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.01 * torch.randn_like(p))
    return model, before


def test_losses_are_those_of_networks_built_by_hand() -> None:
    model, before = moved()
    found = losses_along(model, before, IMAGES, TARGETS)
    for multiple in MULTIPLES:
        other = copy.deepcopy(model)
        with torch.no_grad():
            for p, old in zip(other.parameters(), before, strict=True):
                p.copy_(old + multiple * (p - old))
            logits = other(IMAGES)
        wanted = float(F.cross_entropy(logits, TARGETS))
        assert found[f"{multiple:g}"][0] == pytest.approx(wanted, abs=1e-5)
        assert found[f"{multiple:g}"][1] == float((logits.argmax(1) == TARGETS).float().mean())


def test_the_network_stays_as_it_was_to_the_bit() -> None:
    model, before = moved()
    state = copy.deepcopy(model.state_dict())
    random = torch.get_rng_state()
    losses_along(model, before, IMAGES, TARGETS)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert model.training


def test_every_multiple_meets_the_same_masks_of_dropout() -> None:
    model = Tiny(dropout=0.5)
    before = [p.detach().clone() for p in model.parameters()]
    assert len(set(losses_along(model, before, IMAGES, TARGETS).values())) == 1


def test_modes_are_restored_though_the_inside_raises() -> None:
    model = Tiny()

    def breaks() -> None:
        with untouched(model):
            model.eval()
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        breaks()
    assert model.training


def test_shares_of_labels_are_judged_by_their_largest() -> None:
    model = Tiny().eval()
    rows = F.one_hot(TARGETS, 10).float()
    assert judged(model, IMAGES, rows) == pytest.approx(judged(model, IMAGES, TARGETS), abs=1e-6)


def test_logits_of_every_usual_output() -> None:
    class Output:
        logits = torch.zeros(1, 2)

    logits = torch.ones(1, 2)
    for output in (logits, (logits, None), [logits], {"logits": logits, "aux": 0}, {"out": logits}):
        assert torch.equal(logits_of(output), logits)
    assert torch.equal(logits_of(Output()), Output.logits)


def test_devices_that_the_model_is_not_on_are_not_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.manual_seed` seeds them all, and they would not be restored."""
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    monkeypatch.setattr(torch.mps, "manual_seed", seeded.append)
    model, before = moved()
    seeded.clear()
    losses_along(model, before, IMAGES, TARGETS)
    assert not seeded


def test_the_random_state_of_a_model_on_metal_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    monkeypatch.setattr(line, "_on", lambda _, kind: [torch.device("mps")] if kind == "mps" else [])
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: "before")
    monkeypatch.setattr(torch.mps, "manual_seed", done.append)
    monkeypatch.setattr(torch.mps, "set_rng_state", done.append)
    with untouched(Tiny()):
        assert len(done) == 1
    assert done[1:] == ["before"]
