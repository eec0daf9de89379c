"""What do more views of a picture bring? One centre crop, ten crops, and ten at five scales."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from fathom.classifier import Classifier, load
from fathom.data.settings import ResizedCrop
from fathom.experiments.arms import comparing
from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Arm, Experiment, Findings, Judged, Results, Setting, Values
from fathom.experiments.words import points
from fathom.features.backbone import Backbone, find_backbones
from fathom.figures.charts import Axis, LineChart, Series
from fathom.spread import Spread, spread
from fathom.training.recipe import Recipe
from fathom.training.session import train

_STATED = 0.01  # the gain of the claim
_STEPS = 600
_CROPS, _CENTRES = "ten-multiscale", "multiscale"
_ALL = (_CROPS, 50)
_TOLD = {
    "its mirror image": (_CROPS, 2),
    "ten crops": (_CROPS, 10),
    "ten crops at five scales": _ALL,
    "the centre at five scales": (_CENTRES, 5),
}


def tta_gain(setting: Setting) -> Experiment:
    """Averaging views gains a little: the first few most of it, and each costs a forward pass.

    Source: Krizhevsky, Sutskever and Hinton 2012, Section 6: 37.5 % top-1 error with ten crops,
    39.0 % with one; the scales are those of He et al. 2015, arXiv:1512.03385, Section 3.4.

        fathom experiment tta-gain --weights lite --data PHOTOGRAPHS --seeds 1

    With weights the classes of PHOTOGRAPHS are called by the numbers that the weights give them, 0
    to 999 for ImageNet's. Nothing is random then: the interval is over images, and seeds after the
    first have nothing to add. Without weights a small network is trained here, 600 steps with
    random crops, mirrored as the data allow; its interval is over seeds. Digits are not mirrored in
    training, so that their mirrored views can do harm.

    Departures: each view is averaged with all before it, scale by scale, so that the order of the
    scales has a part in the course, not in its end. Measured: docs/results/experiments.md.
    """
    if setting.weights is None:
        arms = [Arm("a network trained here")]
    else:
        arms = [
            Arm(backbone.label, None, {"backbone": backbone})
            for backbone in find_backbones(setting.weights)
        ]
    return Experiment(
        title="What do more views of a picture bring?",
        expected=(
            "Fifty views gain about one point over the centre crop, most of it with the first ten."
        ),
        arms=arms,
        measure=_measure,
        findings=_findings,
        claims=("tta.gain",),
    )


def _recipe(setting: Setting) -> Recipe:
    """A small network whose evaluated view leaves a margin, for the corners."""
    plain = comparing(
        setting, "cifar_resnet20", spec={"depths": [1, 1, 1]} if setting.quick else None
    )
    return replace(
        plain,
        augment=replace(plain.augment, crop=ResizedCrop()),
        steps=4 if setting.quick else _STEPS,
        epochs=None,
    )


def _measure(cell: Cell) -> Values:
    pretrained = cell.setting.weights is not None
    if pretrained and cell.seed > 0:
        return {}  # pretrained weights say the same of the same pictures
    found: Values = {"pretrained": pretrained}
    with TemporaryDirectory(prefix="fathom-views-") as name:
        classifier = _pretrained(cell) if pretrained else _trained(cell, Path(name) / "run")
    data = cell.setting.data if pretrained else None  # else the images that judge the run
    for protocol in (_CROPS, _CENTRES):
        seen, _ = classifier.evaluate_views(protocol, data)
        rows = [asdict(row) for row in seen.rows]
        found[protocol] = {
            key: [row[key] for row in rows]
            for key in ("views", "top1", "gain", "gain_low", "gain_high", "flops")
        }
        found["pictures"] = seen.num_images
    return found


def _pretrained(cell: Cell) -> Classifier:
    """The network with its weights; its classes are called by their numbers."""
    backbone: Backbone = cell.arm.settings["backbone"]
    network = backbone.build().to(cell.runtime.device)
    assert network.preprocess is not None, "weights bring their preprocessing"
    names = tuple(map(str, range(network.num_classes)))
    return Classifier(network, names, network.preprocess, cell.runtime)


def _trained(cell: Cell, folder: Path) -> Classifier:
    for _ in train(replace(_recipe(cell.setting), seed=cell.seed), out=folder):
        pass
    return load(folder, device=cell.setting.device)


def _findings(results: Results) -> Findings:
    sentences = tuple(_told(results, arm) for arm in results.arms)
    shown = all(
        _measured(results, arm)[0]["pretrained"] and _as_stated(gain_of(results, arm, *_ALL))
        for arm in results.arms
    )
    computed = {
        f"{arm}, {what}: gain (points)": round(100 * gain_of(results, arm, *which).mean, 2)
        for arm in results.arms
        for what, which in _TOLD.items()
    }
    verdict = Judged("demonstrated" if shown else "not-reproduced", computed, " ".join(sentences))
    charts = tuple(_chart(results, arm) for arm in results.arms)
    return Findings(sentences, charts, {"tta.gain": verdict})


def _as_stated(gain: Spread) -> bool:
    """Above none beyond doubt, and the stated gain is within the interval."""
    return gain.low is not None and gain.high is not None and 0 < gain.low <= _STATED <= gain.high


def _measured(results: Results, arm: str) -> list[Values]:
    """The values of the seeds that looked: of pretrained weights the first alone."""
    return [values for _, values in sorted(results.cells[arm].items()) if values]


def gain_of(results: Results, arm: str, protocol: str, views: int) -> Spread:
    """The gain of so many views over the first, a fraction: with its interval over pictures for
    pretrained weights, over seeds for a network trained here."""
    found = _measured(results, arm)
    rows = [values[protocol] for values in found]
    if not found[0]["pretrained"]:
        return spread([row["gain"][views - 1] for row in rows])
    gain, low, high = (rows[0][key][views - 1] for key in ("gain", "gain_low", "gain_high"))
    return Spread(gain, low, high, None, 1)


def _told(results: Results, arm: str) -> str:
    found = _measured(results, arm)
    first = sum(values[_CROPS]["top1"][0] for values in found) / len(found)
    gains = [f"{what} {points(gain_of(results, arm, *which))}" for what, which in _TOLD.items()]
    flops = found[0][_CROPS]["flops"]
    text = (
        f"With {arm} the centre crop alone names {100 * first:.1f} % of "
        f"{found[0]['pictures']:,} pictures right. What more views gain: {', '.join(gains)}. All "
        f"fifty take {flops[-1] / flops[0]:.0f} times the arithmetic of the first."
    )
    return f"{text} {_judged(gain_of(results, arm, *_ALL), found[0]['pretrained'])}"


def _judged(gain: Spread, pretrained: bool) -> str:
    over = "pictures" if pretrained else "seeds"
    if gain.low is None or gain.high is None or gain.low <= 0 <= gain.high:
        text = f"So few {over} do not tell the gain of all fifty from none."
    elif gain.high < 0:
        text = "All fifty together name fewer right than the centre alone."
    elif _as_stated(gain):
        text = "About one point, as it is said."
    else:
        text = f"A gain, but not about one point: {points(gain)}."
    return text if pretrained else f"{text} The weights were trained here, not published ones."


def _chart(results: Results, arm: str) -> LineChart:
    series = []
    for name, protocol in (("ten crops a scale", _CROPS), ("centre of each scale", _CENTRES)):
        views = _measured(results, arm)[0][protocol]["views"]
        gains = [gain_of(results, arm, protocol, count) for count in views]
        whole = gains[0].low is not None
        series.append(
            Series(
                name,
                views,
                [100 * gain.mean for gain in gains],
                [100 * (gain.low or 0.0) for gain in gains] if whole else None,
                [100 * (gain.high or 0.0) for gain in gains] if whole else None,
            )
        )
    found = _measured(results, arm)[0]
    if found["pretrained"]:
        caption = (
            f"{results.setting['data']}, {found['pictures']:,} pictures. Band: 95 % interval over "
            "pictures, in pairs."
        )
    else:
        caption = (
            f"{results.setting['data']}, {found['pictures']:,} pictures, "
            f"{len(results.setting['seeds'])} seeds. Mean and 95 % interval over the seeds."
        )
    return LineChart(
        f"Gain over one centre crop, {arm}",
        Axis("Views averaged"),
        Axis("Gain (points)"),
        series,
        caption,
    )
