"""The sections of the report that show how a run went and what its network can do."""

from __future__ import annotations

from collections.abc import Iterator

from fathom import figures
from fathom.evaluate import ClassScore, Confusion, Evaluation
from fathom.report.markup import (
    SPACE,
    Cell,
    Html,
    bullets,
    count_cell,
    counted,
    details,
    duration,
    el,
    join,
    named,
    percent,
    plot,
    share_cell,
    short_count,
    span,
    table,
)
from fathom.report.material import Material, Picture
from fathom.report.verdict import split_word

_WHOLE_MATRIX = 50  # classes up to which the confusion matrix is shown whole
_PART_OF_MATRIX = 30  # classes shown of a larger one
_FEW = 5  # entries up to which a list is not folded away
_MANY = 20  # classes from which the cells of the matrix are small
_BESIDE = 12  # classes up to which their table stands beside the matrix
_PATH = 60  # characters of a path that are shown, its end
_SMALL = 64  # pixels up to which an image is enlarged with its pixels visible

_TERMS = (
    "Recall is the share of a class that was found; precision the share of its predictions that "
    "were right; F1 their harmonic mean. Worst first; the headings sort."
)


def cards(run: Material) -> Html:
    """The key figures in a row, each with a line of context."""
    shown = (
        el(
            "div",
            el("dt", term),
            el("dd", el("span", figure, class_="figure"), el("span", note, class_="note")),
            class_="card",
        )
        for term, figure, note in _key_figures(run)
    )
    return el("dl", *shown, class_="cards")


def _key_figures(run: Material) -> Iterator[tuple[str, str, str]]:
    """(term, figure, note) of each card."""
    found, last = run.evaluation, run.epochs[-1] if run.epochs else None
    if found is not None:
        yield (
            "Top-1 accuracy",
            percent(found.top1),
            f"95{SPACE}%: {span(found.top1_low, found.top1_high)}",
        )
        if found.top5 is not None:
            yield "Top-5 accuracy", percent(found.top5), "the class is among the first five"
        yield "Loss", f"{found.loss:.3f}", "nats, mean cross entropy"
        yield "Calibration error", percent(found.ece), "ECE: how far confidence is off"
    seconds = run.result.get("seconds", run.last.seconds if run.last else None)
    if seconds is not None and run.last is not None:
        yield "Time", duration(seconds), counted(run.last.step, "step")
    if last is not None:
        yield "Images per second", f"{last.images_per_second:,.0f}", "training, towards the end"
    if run.cost:
        macs = short_count(run.cost["macs"])
        yield "Parameters", short_count(run.cost["params"]), f"{macs} MACs for one image"


def training(run: Material) -> Html | None:
    """Curves by epoch and by step, and warnings; None for a probe, which has none."""
    if run.probe:
        return None
    kept = run.kept_epoch if run.recipe.select == "best" else None
    charts = []
    if run.epochs:
        number = None if kept is None else kept.epoch
        charts.append(
            el(
                "div",
                plot(figures.top1_curves(run.epochs, number), alt=_alt(run, "Top-1 accuracy")),
                plot(figures.loss_curves(run.epochs, number), alt=_alt(run, "Loss")),
                class_="two",
            )
        )
        charts.append(el("p", _curves_note(run), class_="quiet"))
    if run.steps:
        charts.append(
            el(
                "div",
                plot(figures.step_losses(run.steps), alt="Training loss of batches by step"),
                plot(figures.learning_rate(run.steps), alt="Learning rate by step"),
                plot(figures.throughput(run.steps), alt="Training images per second by step"),
                class_="three",
            )
        )
    return _section("training", "Training", *charts, _warnings(run))


def _alt(run: Material, what: str) -> str:
    """A sentence for those who do not see a curve."""
    first, last = run.epochs[0], run.epochs[-1]
    if what == "Loss":
        ends = f"training from {first.train_loss:.3g} to {last.train_loss:.3g}"
    else:
        ends = f"training from {percent(first.train_top1)} to {percent(last.train_top1)}"
    measured = run.measured_epoch
    if measured is not None and measured.top1 is not None and measured.loss is not None:
        figure = f"{measured.loss:.3g}" if what == "Loss" else percent(measured.top1)
        ends += f", {split_word(measured.split)} at last {figure}"
    return f"{what} by epoch: {ends}"


def _curves_note(run: Material) -> str:
    text = (
        "Training curves are means over an epoch's augmented batches, in training mode and while "
        "the weights change; the others are measured after the epoch in evaluation mode"
    )
    text += ", on the averaged weights. " if run.recipe.averaged else ". "
    if run.recipe.augment.mix is not None:
        text += "In training accuracy a mixed image is the class of its largest share. "
    smoothing = getattr(run.recipe.loss, "label_smoothing", 0.0)
    if smoothing:
        text += f"Training loss includes label smoothing of {smoothing:g}, the others do not. "
    skipped = sum(epoch.top1 is None for epoch in run.epochs)
    if skipped:
        text += f"{counted(skipped, 'epoch')} went unmeasured to save time. "
    return text + "So a gap between the lines is not by itself overfitting."


def _warnings(run: Material) -> Html | None:
    items = [f"step {w.step:,}: {w.message}" for w in run.warnings]
    if not items:
        return None
    heading = f"{counted(len(items), 'warning')} during training"
    if len(items) > _FEW:
        return details(heading, bullets(items))
    return join([el("h3", heading), bullets(items)])


def classes(run: Material, found: Evaluation) -> Html:
    """The confusion matrix and the table of classes."""
    return _section(
        "classes",
        "Class by class",
        el(
            "div",
            el("div", el("h3", "Confusion matrix"), _matrix(found)),
            el(
                "div", el("h3", "Every class"), _class_table(found), el("p", _TERMS, class_="quiet")
            ),
            class_="two" if len(found.per_class) <= _BESIDE else None,
        ),
    )


def _matrix(found: Evaluation) -> Html:
    names, count = [score.name for score in found.per_class], len(found.per_class)
    shown, note = None, ""
    if count > _WHOLE_MATRIX:
        shown = figures.most_mistaken(found.matrix, _PART_OF_MATRIX)
        note = (
            f"Shown are the {_PART_OF_MATRIX} of {count} classes with the most mistakes; rows "
            "therefore need not add up. "
        )
    wrong = round((1 - found.top1) * found.num_images)
    chart = plot(
        figures.confusion_matrix(found.matrix, names, shown=shown),
        alt=f"Confusion matrix of {count} classes: {wrong:,} of {found.num_images:,} images are "
        "off the diagonal, that is, wrong",
        caption=f"{note}A row is a true class, a column what it was taken for; the diagonal is "
        "right. The colour is the share of the row's class.",
        shape="matrix",
    )
    return el(
        "div",
        chart,
        style=_matrix_widths(names, len(shown or names)),
        class_="matrix-box",
        tabindex=0,
        role="group",
        aria_label="Confusion matrix",
    )


def _matrix_widths(names: list[str], count: int) -> str:
    """Pixels that the matrix needs at least, and takes at most, for labels and cells."""
    labels = 70 + 7 * min(figures.LONGEST_LABEL, max(map(len, names)))
    least, most = (26, 60) if count <= _MANY else (15, 22)
    return f"--least:{labels + least * count}px;--most:{max(360, labels + most * count)}px"


def _class_table(found: Evaluation) -> Html:
    worst = sorted(found.per_class, key=lambda score: (score.f1, score.recall))
    return table(
        ("Class", "F1", "Recall", "Precision", "Images"),
        (_class_row(score) for score in worst),
        label="Every class with F1, recall, precision and number of images",
        sortable=True,
    )


def _class_row(score: ClassScore) -> tuple[object, ...]:
    precision = Cell("never predicted", -1.0)
    if score.precision is not None:
        precision = share_cell(score.precision)
    bar = el("span", style=f"width:{100 * score.f1:.1f}%", class_="bar")
    f1 = Cell(join([el("span", bar, class_="track"), percent(score.f1)]), round(score.f1, 6))
    return score.name, f1, share_cell(score.recall), precision, count_cell(score.support)


def mistakes(run: Material, found: Evaluation) -> Html:
    """The most confused pairs of classes, with the images that it was surest of."""
    if not found.confusions:
        text = f"None: all {counted(found.num_images, 'image')} were named correctly."
        return _section("mistakes", "Mistakes", el("p", text))
    return _section(
        "mistakes",
        "Mistakes",
        el(
            "p",
            "The pairs of classes confused most often, and in each the images whose wrong answer "
            "was surest, as the network saw them. A wrong label shows here first.",
            class_="quiet",
        ),
        el("div", *(_pair(run, confusion) for confusion in found.confusions), class_="pairs"),
    )


def _pair(run: Material, pair: Confusion) -> Html:
    heading = [
        named(pair.true),
        " taken for ",
        named(pair.predicted),
        el("span", counted(pair.count, "image"), class_="tally"),
    ]
    alt = f"An image of class {pair.true}, taken for {pair.predicted}"
    shown = [
        _thumbnail(run.picture(position), confidence, alt) for position, confidence in pair.examples
    ]
    return el("div", el("h3", *heading), el("div", *shown, class_="thumbnails"), class_="pair")


def _thumbnail(picture: Picture | None, confidence: float, alt: str) -> Html:
    sure = el("span", f"{percent(confidence)} sure", class_="sure")
    if picture is None:
        missing = el("div", "no image", class_="missing")
        return el("figure", missing, el("figcaption", sure))
    small = max(picture.width, picture.height) <= _SMALL
    image = el("img", src=picture.uri, alt=alt, class_="pixels" if small else None)
    end = picture.path if len(picture.path) <= _PATH else f"…{picture.path[1 - _PATH :]}"
    path = el("bdi", end, class_="path", title=picture.path)
    return el("figure", image, el("figcaption", sure, path))


def calibration(run: Material, found: Evaluation) -> Html:
    """The reliability diagram, the calibration error, and how to read them."""
    sure = sum(b.count * b.confidence for b in found.bins) / found.num_images
    return _section(
        "calibration",
        "Calibration",
        el("p", _reading(run, found, sure)),
        plot(
            figures.reliability(found.bins),
            alt=f"Reliability diagram: mean confidence {percent(sure)}, accuracy "
            f"{percent(found.top1)}, expected calibration error {percent(found.ece)}",
            caption=f"Points below the diagonal are surer than right. The expected calibration "
            f"error (ECE, {percent(found.ece)}) is their mean distance from it, weighted by "
            f"images, over {len(found.bins)} bins (Guo et al. 2017, arXiv:1706.04599). With few "
            "images it is above 0 even for a perfectly calibrated network.",
            shape="narrow",
        ),
    )


def _reading(run: Material, found: Evaluation, sure: float) -> str:
    """Whether the network is surer than right, by the interval of its accuracy."""
    figures_ = f"on average it is {percent(sure)} sure and {percent(found.top1)} right"
    if sure > found.top1_high:
        return f"The network is overconfident: {figures_}. Take its confidence with caution."
    if sure < found.top1_low:
        text = f"The network is underconfident: {figures_}."
        if getattr(run.recipe.loss, "label_smoothing", 0.0):
            text += " Training with label smoothing, as here, can do that."
        return text
    return f"Overall the network is about as sure as it is right: {figures_}."


def _section(identifier: str, heading: str, *content: object) -> Html:
    return el("section", el("h2", heading), *content, id=identifier)
