"""Faults of the loop itself. They are read off, not inferred, so their findings are certain."""

from __future__ import annotations

from fathom.doctor.nouns import Evidence, Finding, Rejected, Remedy
from fathom.doctor.observed import Observed

_DEFINITION = "definition"


def steps_without_gradients(seen: Observed) -> Finding | None:
    """Measure: looks at which no parameter, biases included, had a gradient when the optimizer
    stepped. Threshold: all, and at least two. Source: by definition; a step along nothing changes
    nothing. Dead ReLUs and weights of zero leave the last bias its gradient.
    """
    empty = [look for look in seen.looks if look.moving == 0]
    if len(empty) < 2 or len(empty) < len(seen.looks):
        return None
    return Finding(
        "steps-without-gradients",
        f"In all {len(empty)} steps looked at, no parameter had a gradient when the optimizer "
        "stepped.",
        (Evidence("looked-at steps without any gradient (share)", 1.0, 0.99, above=True,
                  source=_DEFINITION),),
        Remedy(
            "Let the backward pass come between clearing the gradients and the step, and from a "
            "loss that hangs on the model: no detach(), no .data, no torch.no_grad() around it.",
            code="optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
        ),
        since=empty[1].step,
    )  # fmt: skip


def loss_below_zero(seen: Observed) -> Finding | None:
    """Measure: the lowest loss of a step that has classes for targets. Threshold: zero. Source: by
    definition; cross entropy is the mean of -log p of the right class, and p is at most 1.
    """
    lowest = min(seen.curve.loss, default=0.0)
    if lowest >= 0 or all(top1 is None for top1 in seen.curve.top1):
        return None
    place = next(n for n, loss in enumerate(seen.curve.loss) if loss < 0)
    return Finding(
        "loss-below-zero",
        f"The loss fell to {lowest:.3g}; that of a classifier, a mean of -log p, cannot be below "
        "zero.",
        (Evidence("lowest loss (nats)", lowest, 0.0, above=False, source=_DEFINITION),),
        Remedy(
            "Give logits to nn.CrossEntropyLoss. nn.NLLLoss wants the logarithms of probabilities, "
            "and given logits it rewards the right one for growing without end.",
            code="criterion = nn.CrossEntropyLoss()",
        ),
        since=seen.curve.step[place],
    )  # fmt: skip


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


def layer_frozen(seen: Observed) -> Finding | None:
    """Measure: convolutions and linear layers that are cut off (`_cut_off`), else those that ask
    for no gradient behind one that is trained. Threshold: any; of those that do not ask, as long as
    they are fewer than half of all. A frozen beginning of the network is deliberate, and so are
    frozen weights between adapters, which are most of a network. Source: by definition of
    `requires_grad` and of `detach`.
    """
    return _cut_off(seen) or _asks_for_none(seen)


def _cut_off(seen: Observed) -> Finding | None:
    """Layers that ask for a gradient, that the optimizer has, and that the logits hang on, as they
    showed when the signs of their weights were changed; but their weights got no gradient while
    others did, at any look at which images went through them, of at least two. One of zero is a
    gradient: dead ReLUs, dropped branches and zero weights leave it.
    """
    looks = [look for look in seen.looks if look.modes]
    layers = {x.name for x in seen.structure.layers if x.trainable and x.optimised}
    met = {name: [look for look in looks if name in look.signals] for name in layers}
    cut = {
        name: passed[1].step
        for name, passed in met.items()
        if len(passed) > 1 and all(name in look.cut_off for look in passed)
    }
    if not cut:
        return None
    weighted = [layer.name for layer in seen.structure.layers if layer.kind in ("conv", "linear")]
    names = [name for name in weighted if name in cut]
    return Finding(
        "layer-frozen",
        f"{len(names)} of {len(weighted)} layers keep the values that they began with: the answers "
        "hang on them, but no gradient ever came back to them.",
        (Evidence("layers that answers hang on and no gradient reaches", len(names), 0, above=True,
                  source=_DEFINITION),),
        Remedy(
            "Leave out the detach(), .data or torch.no_grad() between these layers and the loss. "
            "Where they are not meant to learn, say so: layer.requires_grad_(False).",
            code="x = block(x)  # no detach(), no torch.no_grad() around it",
        ),
        where=tuple(names),
        since=min(cut.values()),
        rejected=(
            Rejected("parameters-not-optimised", "the optimizer has them"),
            Rejected("vanishing-gradients", "there is no gradient, not even one of zero"),
            Rejected("dead-relus", "there is no gradient, not even one of zero"),
        ),
    )  # fmt: skip


def _asks_for_none(seen: Observed) -> Finding | None:
    layers = [layer for layer in seen.structure.layers if layer.kind in ("conv", "linear")]
    first = next((place for place, layer in enumerate(layers) if layer.trainable), len(layers))
    frozen = [layer for layer in layers[first:] if not layer.trainable and layer.params]
    if not frozen or 2 * len(frozen) >= len(layers):
        return None
    return Finding(
        "layer-frozen",
        f"{len(frozen)} of {len(layers)} layers do not learn, though layers before them do.",
        (Evidence("frozen layers behind a trained one", len(frozen), 0, above=True,
                  source=_DEFINITION),),
        Remedy(
            "Let them learn, or freeze everything before them, too.",
            code="model.requires_grad_(True)\n"
            "optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)",
        ),
        where=tuple(layer.name for layer in frozen),
        since=0,
        rejected=(Rejected("parameters-not-optimised", "these weights do not ask for a gradient"),),
    )  # fmt: skip


def softmax_before_loss(seen: Observed) -> Finding | None:
    """Measure: looks at which all outputs lay between 0 and 1, and at which the loss told was the
    cross entropy of these outputs as if they were logits. Threshold: the outputs of every look, at
    least two; the loss of one, and of none that it was the negative log of the outputs, which is
    the right loss of probabilities. Source: by definition of `torch.nn.CrossEntropyLoss`.
    """
    passes = seen.passes
    bounded = passes.probabilities + passes.sigmoids
    if bounded < max(2, passes.looks) or passes.loss_of_probabilities:
        return None
    if not passes.loss_of_logits:
        return None
    name = "softmax" if passes.probabilities > passes.sigmoids else "sigmoid"
    return Finding(
        "softmax-before-loss",
        f"The network ends in a {name}, and the loss takes its outputs as logits: all of them lay "
        f"between 0 and 1 at all {bounded} looks, so the loss can never come near 0.",
        (Evidence("looks with outputs between 0 and 1 (share)", bounded / passes.looks, 0.99,
                  above=True, source=_DEFINITION),
         Evidence("looks at which the loss was that of logits", passes.loss_of_logits, 0,
                  above=True, source=_DEFINITION)),
        Remedy(
            f"Leave the {name} out: cross entropy has its own.",
            code="logits = model(images)  # no softmax, no sigmoid in the model\n"
            "loss = torch.nn.functional.cross_entropy(logits, targets)",
        ),
        since=seen.looks[1].step,
        rejected=(Rejected("learning-rate-too-low",
                           "the loss cannot fall further, however long the steps"),),
    )  # fmt: skip


CHECKS = {
    "steps-without-gradients": steps_without_gradients,
    "loss-below-zero": loss_below_zero,
    "gradients-not-cleared": gradients_not_cleared,
    "parameters-not-optimised": parameters_not_optimised,
    "layer-frozen": layer_frozen,
    "softmax-before-loss": softmax_before_loss,
}
