import copy
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from torch import Tensor, nn

import fathom
import fathom.doctor.watch as watch_module
from fathom.doctor import Observed
from fathom.doctor.signals import Pass
from fathom.doctor.watch import Watch
from fathom.errors import UserError
from fathom.regularize import DropBlock, StochasticDepth

from .checks.made import Tiny, pictures

IMAGES, TARGETS = pictures(64)


class Detached(Tiny):
    """All but the head is cut off."""

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.drop(self.features(images).detach()))
        return logits


def slow_line(*_: Any) -> dict[str, tuple[float, float]]:
    time.sleep(0.02)
    return {"1": (1.0, 0.5)}


def plain(model: nn.Module, optimizer: torch.optim.Optimizer, watch: Watch | None) -> None:
    model.train()
    for step in range(6):
        part = slice(8 * step, 8 * step + 8)
        loss = F.cross_entropy(model(IMAGES[part]), TARGETS[part])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if watch is not None:
            watch.step(loss, TARGETS[part])


def told_before_the_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, watch: Watch | None
) -> None:
    model.train()
    for step in range(6):
        part = slice(8 * step, 8 * step + 8)
        loss = F.cross_entropy(model(IMAGES[part]), TARGETS[part])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if watch is not None:
            watch.step(loss, TARGETS[part])
        optimizer.step()


def accumulated(model: nn.Module, optimizer: torch.optim.Optimizer, watch: Watch | None) -> None:
    """The watch is told of every part."""
    model.train()
    for step in range(6):
        optimizer.zero_grad()
        for half in range(2):
            part = slice(8 * step + 4 * half, 8 * step + 4 * half + 4)
            loss = F.cross_entropy(model(IMAGES[part]), TARGETS[part])
            (loss / 2).backward()  # type: ignore[no-untyped-call]
            if half:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            if watch is not None:
                watch.step(loss, TARGETS[part])


def auxiliary(model: nn.Module, optimizer: torch.optim.Optimizer, watch: Watch | None) -> None:
    """A second pass of a step sees other images, and fewer."""
    model.train()
    for step in range(6):
        part = slice(8 * step, 8 * step + 8)
        loss = F.cross_entropy(model(IMAGES[part]), TARGETS[part])
        loss = loss + 0.1 * model(IMAGES[:3]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if watch is not None:
            watch.step(loss, TARGETS[part])


def scaled(model: nn.Module, optimizer: torch.optim.Optimizer, watch: Watch | None) -> None:
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    model.train()
    for step in range(6):
        part = slice(8 * step, 8 * step + 8)
        loss = F.cross_entropy(model(IMAGES[part]), TARGETS[part])
        optimizer.zero_grad()
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.step(optimizer)
        scaler.update()
        if watch is not None:
            watch.step(loss, TARGETS[part])


Loop = Callable[[nn.Module, torch.optim.Optimizer, Watch | None], None]
LOOPS: list[Loop] = [plain, told_before_the_step, accumulated, auxiliary, scaled]


def trained(loop: Loop, *, watched: bool, **options: Any) -> tuple[dict[str, Tensor], Observed]:
    torch.manual_seed(0)
    model = Tiny(dropout=0.5)
    groups: list[dict[str, Any]] = [
        {"params": list(model.features.parameters())},
        {"params": list(model.head.parameters()), "lr": 0.02},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9)
    watch = fathom.watch(model, optimizer, **options) if watched else None
    loop(model, optimizer, watch)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["random"] = torch.get_rng_state()
    return state, Observed() if watch is None else watch.observed


@pytest.mark.parametrize("loop", LOOPS)
def test_a_watched_run_ends_with_the_same_bits(loop: Loop) -> None:
    without, _ = trained(loop, watched=False)
    state, seen = trained(loop, watched=True, every=1)
    assert len(seen.looks) == 6
    assert seen.curve.step == [1, 2, 3, 4, 5, 6]
    assert all(torch.equal(state[name], value) for name, value in without.items())


@pytest.mark.parametrize("loop", [plain, told_before_the_step, accumulated, scaled])
def test_every_loop_is_judged_along_the_line(loop: Loop) -> None:
    _, seen = trained(loop, watched=True, every=1)
    assert [bool(look.line) for look in seen.looks] == [False, *[True] * 5]
    assert all(look.modes["train"][0] == look.line["1"] for look in seen.looks[1:])


def test_targets_of_other_images_judge_nothing() -> None:
    _, seen = trained(auxiliary, watched=True, every=1)
    assert not any(look.line for look in seen.looks)
    assert seen.curve.top1 == [None] * 6


def test_after_close_nothing_is_heard() -> None:
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = fathom.watch(model, optimizer, every=1)
    watch.close()
    plain(model, optimizer, None)
    assert watch.observed.passes.training == watch.observed.passes.backward == 0
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_a_copy_of_a_watched_model_is_not_watched() -> None:
    model = Tiny()
    watch = fathom.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), every=1)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        copied(IMAGES)
    assert watch.observed.passes.training == 0


def test_the_time_of_looks_is_accounted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pass, "read", lambda *_: time.sleep(0.002))
    monkeypatch.setattr(watch_module, "losses_along", slow_line)
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = fathom.watch(model, optimizer, every=1)
    plain(model, optimizer, watch)
    assert watch.cost > 6 * 10 * 0.002 + 5 * 0.02


def test_looks_come_early_though_their_share_of_the_time_is_small() -> None:
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = fathom.watch(model, optimizer, share=1e-9)
    for _ in range(3):
        plain(model, optimizer, watch)
    assert [look.step for look in watch.observed.looks] == [1, 4, 16]


def test_a_frozen_backbone_in_evaluation_mode_is_watched_and_healthy() -> None:
    torch.manual_seed(0)
    model = Tiny()
    model.features.requires_grad_(requires_grad=False).eval()
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.1)
    watch = fathom.watch(model, optimizer, every=1)
    for step in range(12):
        loss = F.cross_entropy(model.eval()(IMAGES), TARGETS)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        watch.step(loss, TARGETS)
        assert watch.steps == step + 1
    assert watch.verdict().healthy


def test_a_model_without_parameters_of_its_own() -> None:
    class Wrapper(nn.Module):
        def __init__(self, inner: list[nn.Module]) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, images: Tensor) -> Tensor:
            out: Tensor = self.inner[0](images)
            return out

    inner = Tiny()
    model = Wrapper([inner])
    optimizer = torch.optim.SGD(inner.parameters(), lr=0.1)
    watch = fathom.watch(model, optimizer, every=1)
    plain(model, optimizer, watch)
    assert len(watch.observed.curve.step) == 6


def test_a_run_that_diverges_is_noted_at_its_step() -> None:
    model = Tiny()
    watch = fathom.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
    watch.step(float("nan"))
    watch.step(float("nan"))
    assert watch.observed.diverged == 1


def test_passes_before_training_say_nothing_of_evaluation() -> None:
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = fathom.watch(model, optimizer)
    with torch.no_grad():
        model(IMAGES)
    assert watch.observed.passes.evaluating == 0
    plain(model, optimizer, watch)
    with torch.no_grad():
        model(IMAGES)
    assert watch.observed.passes.evaluating == 1
    assert watch.observed.passes.evaluating_with_batch_statistics == 1


def test_gradients_that_the_optimizer_does_not_hold_are_not_its_to_clear() -> None:
    model = Tiny()
    optimizer = torch.optim.SGD(model.features.parameters(), lr=0.1)
    watch = fathom.watch(model, optimizer, every=1)
    plain(model, optimizer, watch)
    assert (watch.observed.passes.not_cleared, watch.observed.passes.cleared) == (0, 5)


def test_all_kinds_of_dropout_are_seen_in_evaluation() -> None:
    for layer in (nn.Dropout(0.5), StochasticDepth(0.5), DropPath(0.5), DropBlock(0.5, 3)):
        model = Tiny()
        model.drop = nn.Dropout(0.0)
        model.features[5] = layer
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        watch = fathom.watch(model, optimizer)
        plain(model, optimizer, watch)
        for mode in (model.train, model.eval):
            mode()
            with torch.no_grad():
                model(IMAGES)
        assert watch.observed.passes.evaluating_with_dropout == 1, layer


def test_asking_what_hangs_on_silent_layers_leaves_all_bits() -> None:
    states = []
    for watched in (False, True):
        torch.manual_seed(0)
        model = Detached(dropout=0.5)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        watch = fathom.watch(model, optimizer, every=1) if watched else None
        plain(model, optimizer, watch)
        states.append({**model.state_dict(), "random": torch.get_rng_state()})
    assert watch is not None
    assert [bool(look.cut_off) for look in watch.observed.looks] == [False, *[True] * 5]
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


@pytest.mark.parametrize("options", [{"share": 0.0}, {"share": 1.0}, {"every": 0}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    model = Tiny()
    with pytest.raises(UserError, match="must"):
        fathom.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), **options)


def test_the_graph_is_walked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[Tensor] = []

    def nothing_found(output: Tensor) -> tuple[int, int]:
        walks.append(output)
        return 0, 0

    monkeypatch.setattr(watch_module, "ways", nothing_found)
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    plain(model, optimizer, fathom.watch(model, optimizer))
    assert len(walks) == 1


def test_validation_with_gradients_is_no_training_in_evaluation_mode() -> None:
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = fathom.watch(model, optimizer)
    for _ in range(3):
        plain(model, optimizer, watch)
        model.eval()
        for first in range(0, 64, 8):
            model(IMAGES[first : first + 8])
    passes = watch.observed.passes
    assert (passes.training, passes.training_in_eval_mode) == (18, 0)
    model.eval()
    loss = F.cross_entropy(model(IMAGES), TARGETS)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert (passes.training, passes.training_in_eval_mode) == (19, 1)


def test_a_batch_is_kept_only_for_a_look_and_not_whole() -> None:
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = fathom.watch(model, optimizer, every=4)
    for step in range(1, 7):
        loss = F.cross_entropy(model(IMAGES), TARGETS)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        watch.step(loss, TARGETS)
        assert (watch._judges is not None) == (step == 4)
        if watch._judges is not None:
            assert watch._judges[0].untyped_storage().data_ptr() != IMAGES.data_ptr()
