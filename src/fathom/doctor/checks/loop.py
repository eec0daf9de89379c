"""Faults of the loop itself. They are read off, not inferred, so their findings are certain."""

from __future__ import annotations

from fathom.doctor.nouns import Evidence, Finding, Remedy
from fathom.doctor.observed import Observed

_DEFINITION = "definition"


def gradients_not_cleared(seen: Observed) -> Finding | None:
    """Measure: of the first backward passes after a step, those that met gradients left over from
    before it. Threshold: half of those looked at; one alone may be the reader's own doing.
    Source: by definition of `optimizer.zero_grad`.
    """
    passes = seen.passes
    if passes.not_cleared < 2 or passes.not_cleared < passes.cleared:
        return None
    looked = passes.not_cleared + passes.cleared
    return Finding(
        "gradients-not-cleared",
        f"In {passes.not_cleared} of {looked} steps looked at, the gradients of the step before "
        "were still there when the new ones were added.",
        (Evidence("steps that began with old gradients", passes.not_cleared, looked / 2, above=True,
                  source=_DEFINITION),),
        Remedy(
            "Clear the gradients before each backward pass.",
            code="optimizer.zero_grad()\nloss.backward()",
        ),
        since=2,
    )  # fmt: skip


def parameters_not_optimised(seen: Observed) -> Finding | None:
    """Measure: trainable parameters that no group of the optimizer holds. Threshold: none may be.
    Source: by definition of `torch.optim.Optimizer.param_groups`.
    """
    missing = [layer for layer in seen.structure.layers if not layer.optimised]
    share = seen.structure.unoptimised_params
    if not share:
        return None
    of = seen.structure.params
    return Finding(
        "parameters-not-optimised",
        f"The optimizer does not have {share:,} of the {of:,} trainable parameters, so they keep "
        "the values that they began with.",
        (Evidence("trainable parameters that the optimizer lacks", share, 0, above=True,
                  source=_DEFINITION),),
        Remedy(
            "Give the optimizer all parameters, after the model has its last form.",
            code="optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)",
        ),
        where=tuple(layer.name for layer in missing),
        since=0,
    )  # fmt: skip


CHECKS = {
    "gradients-not-cleared": gradients_not_cleared,
    "parameters-not-optimised": parameters_not_optimised,
}
