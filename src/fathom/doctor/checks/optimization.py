"""Optimization: what keeps the optimizer from fitting the training images."""

from __future__ import annotations

from fathom.doctor.checks import flow, rates
from fathom.doctor.checks.outcome import CHANCE, chance, end_loss, ended, last_exam, nothing_learnt
from fathom.doctor.diagnose import Check
from fathom.doctor.nouns import Evidence, Finding, Remedy
from fathom.doctor.observed import Observed

_ANY = 20  # steps before which nobody can have learnt
_TIMES = 2.0  # as often right as by chance, from which something was learnt


def nothing_learnt_at_all(seen: Observed) -> Finding | None:
    """Measure: the loss on training images at the end over that of guessing, and their accuracy
    times the number of classes. Threshold: 0.9, and twice, after 20 steps at least. Source: by
    definition of guessing, less a little for luck. `diagnose` reports it only where no check knows
    the cause, so that a run that came to nothing is never called healthy.
    """
    train, steps = last_exam(seen, "train"), seen.curve.step[-1] if seen.curve.step else 0
    if not seen.over or steps < _ANY or not nothing_learnt(seen):
        return None
    if train is not None and train.top1 * seen.task.num_classes >= _TIMES:
        return None
    return Finding(
        "nothing-learnt",
        f"Nothing was learnt: {ended(seen)}. What the doctor knows to look for is not the cause.",
        (Evidence("loss on training images at the end over that of guessing",
                  end_loss(seen) / chance(seen), CHANCE, above=True, source="definition"),),
        Remedy(
            "Try to learn one batch by heart: if that fails, the fault lies in the model or the "
            "loop; if it works, in the data, the learning rate or the time.",
            code="images, targets = next(iter(loader))\n"
            "for _ in range(100):\n"
            "    optimizer.zero_grad()\n"
            "    loss = criterion(model(images), targets)\n"
            "    loss.backward()\n"
            "    optimizer.step()",
        ),
        confidence=0.5,
    )  # fmt: skip


CHECKS: dict[str, Check] = flow.CHECKS | rates.CHECKS | {"nothing-learnt": nothing_learnt_at_all}
