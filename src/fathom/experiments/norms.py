"""Which norm bears small batches?"""

from __future__ import annotations

from dataclasses import replace

from fathom.experiments.arms import comparing
from fathom.experiments.bands import band
from fathom.experiments.ending import JUDGES, end_errors
from fathom.experiments.nouns import Arm, Experiment, Findings, Results, Setting
from fathom.experiments.words import percent, points, undecided
from fathom.figures.charts import Axis, LineChart
from fathom.recipes.fitting import batch_of

_NORMS = ("batch", "group", "layer", "instance")
_LARGEST, _LEAST = 256, 2  # images that are normalised together
_QUICK = 16


def norms(setting: Setting) -> Experiment:
    """Batch, layer, instance and group norm against the images that go through at once.

    Source: Wu and He 2018, arXiv:1803.08494, Figure 1 and Table 1: the error of batch norm rises as
    batches become small, that of group norm stays; at 32 images batch norm is the best of the four.
    The others: Ba et al. 2016, arXiv:1607.06450; Ulyanov et al. 2016, arXiv:1607.08022.

        fathom experiment norms --data DATA

    Only the batch that is normalised changes. Every step is of the same images: of 256, or fewer
    where the data are few, which go through the network in parts of 2 images up to all at once,
    and the gradients of the parts are averaged. So all arms see equal images in equal steps at one
    learning rate, and what differs is the norm's doing. The three other norms treat each image
    alone, so that parts change nothing but rounding; they are trained at both ends to see it.

    Departures: the paper takes a step for every batch, with a learning rate in proportion, which
    changes the noise of the gradient, too. Parts begin at 2 images: batch norm on a map of one
    pixel has no variance for one. The network is a residual one of 20 layers and 16 to 64 channels.
    Measured: docs/results/experiments.md.
    """
    together = batch_of(setting.summary.num_train, _QUICK if setting.quick else _LARGEST)
    arms = []
    for norm in _NORMS[:2] if setting.quick else _NORMS:
        for part in _parts(together, every=norm == "batch" and not setting.quick):
            spec = {"depths": [1 if setting.quick else 3] * 3, "norm": norm}
            recipe = comparing(setting, "cifar_resnet20", spec=spec, batch_size=together)
            recipe = replace(recipe, accumulate=together // part)
            arms.append(Arm(f"{norm} {part}", recipe))
    return Experiment(
        title="Which norm bears small batches?",
        expected=(
            "The error of batch norm rises as fewer images are normalised together; those of the "
            "other norms stay. With many images batch norm is the best, instance norm the worst."
        ),
        arms=arms,
        measure=end_errors,
        findings=_findings,
    )


def _parts(together: int, *, every: bool) -> list[int]:
    """Images of a part: the least and all at once, and every second power of two in between."""
    smaller = [2**power for power in range(1, 8, 2) if 2**power < together]
    return [*(smaller if every else smaller[:1]), together]


def _findings(results: Results) -> Findings:
    arms: dict[str, dict[int, str]] = {}  # norm -> images of a part -> arm
    for arm in results.arms:
        norm, part = arm.split()
        arms.setdefault(norm, {})[int(part)] = arm
    sentences = [_told(results, norm, found) for norm, found in arms.items()]
    ends = (min(arms["batch"]), max(arms["batch"]))
    sentences += [_against_the_best(results, arms, part) for part in ends]
    return Findings(tuple(sentences), (_chart(results, arms),))


def _told(results: Results, norm: str, arms: dict[int, str]) -> str:
    """The error in the smallest parts against that with all images at once."""
    least, most = min(arms), max(arms)
    small, large = (results.spread(arms[part], "test_error") for part in (least, most))
    difference = results.difference(arms[least], arms[most], "test_error")
    text = (
        f"{norm.capitalize()} norm ends with a {JUDGES[results.setting['judge']]} error of "
        f"{percent(small)} in parts of {least} images and {percent(large)} with {most} at once: "
        f"{points(difference)}."
    )
    if not small.apart_from(large):
        return f"{text} {undecided(small)}"
    return f"{text} {'Small' if difference.mean > 0 else 'Large'} parts are worse."


def _against_the_best(results: Results, arms: dict[str, dict[int, str]], part: int) -> str:
    """Batch norm against the best of the norms that treat each image alone."""
    batch = results.spread(arms["batch"][part], "test_error")
    errors = {
        norm: results.spread(found[part], "test_error")
        for norm, found in arms.items()
        if norm != "batch"
    }
    best = min(errors, key=lambda norm: errors[norm].mean)
    text = (
        f"With {part} images at once batch norm has {100 * batch.mean:.1f} % error, and the best "
        f"of the others, {best} norm, {100 * errors[best].mean:.1f} %"
    )
    if not batch.apart_from(errors[best]):
        return f"{text}; the intervals overlap."
    worse = batch.mean > errors[best].mean
    return (
        f"{text}; the intervals are apart, and batch norm is the {'worse' if worse else 'better'}."
    )


def _chart(results: Results, arms: dict[str, dict[int, str]]) -> LineChart:
    series = []
    for norm, found in arms.items():
        errors = [results.values(arm, "test_error") for arm in found.values()]
        runs = [[100 * error for error in run] for run in zip(*errors, strict=True)]
        series.append(band(norm, list(found), runs))
    return LineChart(
        "Error against the images that go through at once",
        Axis("Images at once", "log"),
        Axis(f"{JUDGES[results.setting['judge']].capitalize()} error (%)"),
        series,
        f"{results.caption} Every step is of the same images; only their parts differ. Mean over "
        "the seeds, and their range.",
        marked=True,
    )
