"""One run in full: how far it is or what came of it, its curves, and what was taken for what."""

from __future__ import annotations

import html as text
import re
from collections.abc import Iterator
from typing import Any

from dash import dcc, html

from fathom import figures
from fathom.doctor.causes import CAUSES
from fathom.doctor.mend import copied
from fathom.doctor.nouns import Finding
from fathom.evaluate import Confusion, Evaluation
from fathom.explorer.folders import is_going, state
from fathom.explorer.served import report_address
from fathom.explorer.shell import facts, graph, named
from fathom.figures.draw import draw
from fathom.report.diagnosis import verdict as doctors_verdict
from fathom.report.markup import Html, counted, duration, percent
from fathom.report.material import Material, Picture
from fathom.report.verdict import judge, planned, split_word

_WHOLE, _PART = 50, 30  # classes up to which all are shown, and shown of more
_LEAST, _WIDEST, _AROUND = 26, 60, 180  # pixels of a cell of the matrix, and of its labels
_SMALL = 64  # pixels up to which a picture is enlarged with its pixels visible


def draw_run(run: Material) -> list[Any]:
    """Verdict, the doctor's findings, curves, warnings and confusions of one run."""
    verdict = judge(run)
    going = is_going(run)
    return [
        html.H3([run.name, ": ", state(run)]),
        *_report(run),
        html.P(_progress(run) if going else plain(verdict.lead)),
        facts(verdict.remarks),
        *_doctor(run),
        *_curves(run),
        *_warnings(run),
        *([] if run.evaluation is None else _mistakes(run, run.evaluation)),
    ]


def plain(markup: Html) -> str:
    """The text of a piece of a report."""
    return text.unescape(re.sub(r"<[^>]*>", "", markup))


def _report(run: Material) -> list[Any]:
    address = report_address(run.folder)
    if address is None:
        return []
    return [html.P(html.A("Its report, in a tab of its own", href=address, target="_blank"))]


def _progress(run: Material) -> str:
    if run.last is None:
        return f"It loads its images; the first step comes next, of {planned(run)}."
    told = f"It is at step {run.last.step:,}, in epoch {run.last.epoch + 1}, of {planned(run)}, "
    told += f"{duration(run.last.seconds)} after its start."
    if run.steps:
        told += f" About {duration(run.steps[-1].seconds_left)} are left."
    return told


def _doctor(run: Material) -> Iterator[Any]:
    """What the doctor found, or one quiet line; nothing where none attended the run."""
    findings = run.findings
    if findings is None:
        return
    if not findings:
        yield html.P(doctors_verdict(run), className="quiet")
    for number, finding in enumerate(findings):
        yield html.H4(CAUSES[finding.cause].title)
        yield html.P(finding.says)
        yield _remedy(finding)
        if finding.chart is not None:
            words = f"{finding.chart.title}. {finding.chart.caption}"
            yield graph(f"runs-finding-{number}", draw(finding.chart), describes=words)


def _remedy(finding: Finding) -> Any:
    """What to do, with a button that copies it."""
    text = copied(finding.remedy)
    button = dcc.Clipboard(content=text, title="Copy the remedy", className="copy")
    shown = [] if text == finding.remedy.words else [html.Pre(text)]
    return html.Div([html.P(["What to do: ", finding.remedy.words, " ", button]), *shown])


def _curves(run: Material) -> Iterator[Any]:
    epochs, steps = run.epochs, run.steps
    kept = run.kept_epoch if run.recipe.select == "best" else None
    number = None if kept is None else kept.epoch
    plots = []
    if epochs:
        first, last = epochs[0], epochs[-1]
        top1 = f"training from {percent(first.train_top1)} to {percent(last.train_top1)}"
        loss = f"training from {first.train_loss:.4f} to {last.train_loss:.4f}"
        plots += [
            ("top1", figures.top1_curves(epochs, number), f"Top-1 accuracy by epoch, {top1}"),
            ("loss", figures.loss_curves(epochs, number), f"Loss by epoch, {loss}"),
        ]
    if steps:
        ends = f"{steps[0].loss:.4f} to {steps[-1].loss:.4f}"
        speed = f"{steps[-1].images_per_second:,.0f}"
        plots += [
            ("batches", figures.step_losses(steps), f"Batch loss by step, from {ends}"),
            ("rate", figures.learning_rate(steps), f"Learning rate, at last {steps[-1].lr:.4g}"),
            ("speed", figures.throughput(steps), f"Training images a second, at last {speed}"),
        ]
    shown = []
    for name, figure, words in plots:
        figure.update_layout(uirevision=run.name)
        shown.append(graph(f"runs-{name}", figure, describes=words))
    if shown:
        yield html.Div(shown, className="two")


def _warnings(run: Material) -> Iterator[Any]:
    if run.warnings:
        yield html.H4(f"{counted(len(run.warnings), 'warning')} during training")
        yield html.Ul([html.Li(f"step {w.step:,}: {w.message}") for w in run.warnings])


def _mistakes(run: Material, found: Evaluation) -> Iterator[Any]:
    """The confusion matrix, and pictures of the pairs of classes confused most often."""
    names = [score.name for score in found.per_class]
    part = figures.most_mistaken(found.matrix, _PART) if len(names) > _WHOLE else None
    wrong = found.num_images - sum(row[i] for i, row in enumerate(found.matrix))
    told = f"{wrong:,} of {counted(found.num_images, f'{split_word(found.split)} image')} are wrong"
    figure = figures.confusion_matrix(found.matrix, names, shown=part)
    count = len(part or names)
    figure.update_layout(uirevision=run.name, height=_AROUND + _LEAST * count)
    yield html.H4("What was taken for what")
    yield html.P(
        f"{told}. A row is a true class, a column what it was taken for"
        + ("" if part is None else f"; shown are the {_PART} classes with the most mistakes")
        + "."
    )
    plot = graph("runs-confusion", figure, describes=f"Confusion matrix: {told}.")
    width = {"minWidth": _AROUND + _LEAST * count, "maxWidth": _AROUND + _WIDEST * count}
    yield html.Div(
        html.Div(plot, style=width),
        className="wide",
        tabIndex=0,
        role="region",
        **named("Confusions"),
    )
    if found.confusions:
        yield html.P(
            "The pairs of classes confused most often, and the images whose wrong answer was "
            "surest. A wrong label shows here first.",
            className="quiet",
        )
        yield html.Div([_pair(run, pair) for pair in found.confusions], className="two")


def _pair(run: Material, pair: Confusion) -> Any:
    pictures = [_picture(run.picture(place), sure, pair) for place, sure in pair.examples]
    heading = f"“{pair.true}” taken for “{pair.predicted}”: {counted(pair.count, 'image')}"
    return html.Div([html.H5(heading), html.Div(pictures, className="thumbs")])


def _picture(picture: Picture | None, sure: float, pair: Confusion) -> Any:
    caption = html.Figcaption(f"{percent(sure)} sure")
    if picture is None:
        return html.Figure([html.Span("no image"), caption])
    small = max(picture.width, picture.height) <= _SMALL
    image = html.Img(
        src=picture.uri,
        alt=f"An image of class {pair.true}, taken for {pair.predicted}",
        title=picture.path,
        className="pixels" if small else "",
    )
    return html.Figure([image, caption])
