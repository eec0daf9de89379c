"""Figures of a run, of a network and of an ablation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from fathom.costs.effective import EffectiveField
from fathom.evaluate import Bin, wilson
from fathom.figures.paper import (
    AXIS,
    BLUE,
    GREY,
    LONGEST_LABEL,
    finite,
    label,
    line,
    new_figure,
)
from fathom.training.reports import EpochReport, StepReport

# Steep at first, so that a single mistake shows; never opaque, so that text stays readable on it.
_SHADE = [
    [place, f"rgba(47, 127, 193, {opacity})"]
    for place, opacity in ((0.0, 0.0), (0.001, 0.14), (0.1, 0.34), (1.0, 0.75))
]
_SPLITS = {"train": "training", "val": "validation", "test": "test"}
_WRITTEN = 20  # classes up to which the confusion matrix shows its counts as text


def loss_curves(epochs: Sequence[EpochReport], kept_epoch: int | None = None) -> go.Figure:
    """Mean loss in nats by epoch, counted from 1: training, and the split that was measured.

    The axis is logarithmic where losses span more than two powers of ten. kept_epoch, counted from
    0, is marked as the one whose weights the run keeps.
    """
    traces = _by_split(epochs, "train_loss", "loss", "%{y:.4f}")
    values = [y for trace in traces for y in trace.y if y > 0]
    wide = bool(values) and max(values) > 100 * min(values)
    figure = _epochs_figure(traces, "Loss (nats)", len(epochs))
    figure.update_yaxes(type="log" if wide else "linear")
    return _mark(figure, kept_epoch)


def top1_curves(epochs: Sequence[EpochReport], kept_epoch: int | None = None) -> go.Figure:
    """Top-1 accuracy in percent by epoch, counted from 1; otherwise as `loss_curves`."""
    figure = _epochs_figure(
        _by_split(epochs, "train_top1", "top1", "%{y:.2%}"), "Top-1 accuracy (%)", len(epochs)
    )
    figure.update_yaxes(tickformat=".2~%")
    return _mark(figure, kept_epoch)


def _by_split(
    epochs: Sequence[EpochReport], training: str, measured: str, hover: str
) -> list[go.Scatter]:
    """One line of the training figures, and one of each split that was measured."""
    numbers = [e.epoch + 1 for e in epochs]
    traces = [
        line(
            *finite(numbers, [getattr(e, training) for e in epochs]),
            "training",
            hover=hover,
            second=True,
        )
    ]
    for split in dict.fromkeys(e.split for e in epochs if e.split is not None):
        values = [getattr(e, measured) if e.split == split else None for e in epochs]
        name = _SPLITS.get(split, label(split))
        traces.append(line(*finite(numbers, values), name, hover=hover))
    return traces


def _epochs_figure(traces: Sequence[Any], title: str, count: int) -> go.Figure:
    figure = new_figure(traces, height=340, hovermode="x unified")
    figure.update_xaxes(title_text="Epoch", tickformat="d", dtick=1 if count <= 12 else None)
    return figure.update_yaxes(title_text=title)


def _mark(figure: go.Figure, epoch: int | None) -> go.Figure:
    if epoch is not None:
        figure.add_vline(
            x=epoch + 1,
            line={"color": GREY, "width": 1.5, "dash": "dot"},
            name=f"kept: epoch {epoch + 1}",
            showlegend=True,
        )
    return figure


def step_losses(steps: Sequence[StepReport]) -> go.Figure:
    """Training loss in nats of single batches, by optimizer step."""
    return _steps_figure(steps, [s.loss for s in steps], "Batch loss (nats)", "%{y:.4f}")


def learning_rate(steps: Sequence[StepReport]) -> go.Figure:
    """Learning rate by optimizer step."""
    figure = _steps_figure(steps, [s.lr for s in steps], "Learning rate", "%{y:.4g}")
    return figure.update_yaxes(exponentformat="power")


def throughput(steps: Sequence[StepReport]) -> go.Figure:
    """Training images a second, smoothed over some twenty steps, by optimizer step."""
    rates = [s.images_per_second for s in steps]
    return _steps_figure(steps, rates, "Images per second", "%{y:,.0f}")


def _steps_figure(
    steps: Sequence[StepReport], values: Sequence[float], title: str, hover: str
) -> go.Figure:
    xs, ys = finite([s.step for s in steps], values)
    figure = new_figure([line(xs, ys, "step %{x}", hover=hover)], height=230)
    figure.update_layout(showlegend=False, margin_t=12)
    figure.update_xaxes(title_text="Step", nticks=6)
    return figure.update_yaxes(title_text=title, nticks=6, rangemode="tozero")


def most_mistaken(matrix: Sequence[Sequence[int]], limit: int) -> list[int]:
    """The `limit` classes with the most mistakes, missed or wrongly named, in their own order."""
    missed = [sum(row) - row[i] for i, row in enumerate(matrix)]
    wrongly = [sum(row[i] for row in matrix) - matrix[i][i] for i in range(len(matrix))]
    order = sorted(range(len(matrix)), key=lambda i: -(missed[i] + wrongly[i]))
    return sorted(order[:limit])


def confusion_matrix(
    matrix: Sequence[Sequence[int]],
    class_names: Sequence[str],
    *,
    shown: Sequence[int] | None = None,
) -> go.Figure:
    """Images of a true class (rows) by predicted class (columns).

    The colour is the share of all images of the row's class, in percent; the text, up to twenty
    classes, is the count. shown picks classes out of larger matrices.
    """
    places = list(range(len(matrix)) if shown is None else shown)
    totals = [sum(row) for row in matrix]
    shares = [[matrix[i][j] / totals[i] if totals[i] else 0.0 for j in places] for i in places]
    counts = [[matrix[i][j] or "" for j in places] for i in places]
    names = [label(class_names[i]) for i in places]
    hover = [
        [[matrix[i][j], totals[i], names[row], names[column]] for column, j in enumerate(places)]
        for row, i in enumerate(places)
    ]
    heat = go.Heatmap(
        z=shares,
        zmin=0,
        zmax=1,
        customdata=hover,
        colorscale=_SHADE,
        colorbar=_colorbar(),
        xgap=1,
        ygap=1,
        hovertemplate="%{customdata[0]:,} of %{customdata[1]:,} images of %{customdata[2]}<br>"
        "predicted as %{customdata[3]} (%{z:.1%})<extra></extra>",
    )
    traces = [heat, _written(shares, counts)] if len(places) <= _WRITTEN else [heat]
    return _class_axes(new_figure(traces, margin_t=40), [class_names[i] for i in places])


def _written(
    shares: Sequence[Sequence[float]], counts: Sequence[Sequence[int | str]]
) -> go.Scatter:
    """The counts on their cells, in white on strong ones: pale ones have the colour of the page,
    which may be light or dark."""
    cells = [(i, j) for i, row in enumerate(counts) for j, count in enumerate(row) if count]
    return go.Scatter(
        x=[j for _, j in cells],
        y=[i for i, _ in cells],
        text=[str(counts[i][j]) for i, j in cells],
        mode="text",
        textfont={"color": ["#ffffff" if shares[i][j] > 0.5 else GREY for i, j in cells]},
        hoverinfo="skip",
        showlegend=False,
    )


def _colorbar() -> dict[str, Any]:
    """A scale above the matrix, named by its middle label."""
    return {
        "orientation": "h",
        "x": 0,
        "xanchor": "left",
        "yref": "container",  # in units of the plot it would misplace the title of the x axis
        "y": 1,
        "yanchor": "top",
        "len": 1,
        "thickness": 8,
        "outlinewidth": 0,
        "tickvals": [0, 0.5, 1],
        "ticktext": ["0%", "share of true class", "100%"],
        "tickangle": 0,
        "ypad": 4,
    }


def _class_axes(figure: go.Figure, class_names: Sequence[str]) -> go.Figure:
    axis = {
        "tickvals": list(range(len(class_names))),
        "ticktext": [label(name, LONGEST_LABEL) for name in class_names],
        "tickfont": {"size": 13 if len(class_names) <= _WRITTEN else 10},
        "showgrid": False,
        "mirror": True,
    }
    figure.update_xaxes(
        title_text="Predicted class", tickangle=-90 if len(class_names) > _WRITTEN else None, **axis
    )
    return figure.update_yaxes(title_text="True class", autorange="reversed", **axis)


def reliability(bins: Sequence[Bin]) -> go.Figure:
    """Above: accuracy against mean confidence of each bin, in percent, with 95 % Wilson intervals.

    Below: predictions in each bin. A perfectly calibrated network lies on the dashed diagonal.
    Source: Guo et al. 2017, arXiv:1706.04599, Figure 1.
    """
    full = [b for b in bins if b.count]
    diagonal = go.Scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        name="perfect calibration",
        line={"color": GREY, "width": 1.5, "dash": "dash"},
        hoverinfo="skip",
    )
    counts = go.Bar(
        x=[(b.low + b.high) / 2 for b in full],
        y=[b.count for b in full],
        width=[0.9 * (b.high - b.low) for b in full],
        text=[f"{b.count:,}" for b in full],
        textposition="outside",
        cliponaxis=False,
        marker={"color": GREY},
        yaxis="y2",
        showlegend=False,
        hovertemplate="%{y:,} predictions<extra></extra>",
    )
    figure = new_figure([diagonal, _bin_points(full), counts], height=460)
    figure.update_xaxes(
        title_text="Confidence (%)", range=[0, 1.001], tickformat=".0%", anchor="y2", dtick=0.2
    )
    figure.update_layout(
        yaxis={
            "title": {"text": "Accuracy (%)"},
            "domain": [0.36, 1],
            "range": [0, 1.02],
            "tickformat": ".0%",
        },
        yaxis2={**AXIS, "title": {"text": "Images"}, "domain": [0, 0.24], "nticks": 3},
    )
    return figure


def _bin_points(bins: Sequence[Bin]) -> go.Scatter:
    """(mean confidence, accuracy) of each bin with its interval."""
    spans = [wilson(round(b.accuracy * b.count), b.count) for b in bins]
    return go.Scatter(
        x=[b.confidence for b in bins],
        y=[b.accuracy for b in bins],
        name="this network, with 95 % interval",
        mode="markers",
        marker={"color": BLUE, "size": 9},
        error_y={
            "type": "data",
            "array": [high - b.accuracy for b, (_, high) in zip(bins, spans, strict=True)],
            "arrayminus": [b.accuracy - low for b, (low, _) in zip(bins, spans, strict=True)],
            "color": BLUE,
            "thickness": 1.5,
            "width": 4,
        },
        customdata=[[b.low, b.high, b.count] for b in bins],
        hovertemplate="confidence %{customdata[0]:.0%} to %{customdata[1]:.0%}: "
        "%{customdata[2]:,} images<br>mean confidence %{x:.1%}, right %{y:.1%}<extra></extra>",
    )


def effective_receptive_field(found: EffectiveField) -> go.Figure:
    """The gradient at each pixel of the image, and the square that the graph allows, clipped.

    Source: Luo et al. 2016, arXiv:1701.04128, Figure 1.
    """
    height, width = found.heat.shape
    heat = go.Heatmap(
        z=found.heat.tolist(),
        zmin=0,
        zmax=1,
        colorscale="Viridis",
        colorbar={
            "title": {"text": "of the largest", "side": "bottom"},
            "tickformat": ".0%",
            "orientation": "h",
            "yref": "container",
            "y": 0.0,
            "yanchor": "bottom",
            "thickness": 12,
        },
        hovertemplate="row %{y}, column %{x}: %{z:.1%}<extra></extra>",
    )
    figure = new_figure([heat], height=560, margin_b=110)
    figure.update_xaxes(
        title_text="column (pixels)",
        range=[-0.5, width - 0.5],
        constrain="domain",
        showgrid=False,
    )
    figure.update_yaxes(
        title_text="row (pixels)",
        range=[height - 0.5, -0.5],
        scaleanchor="x",
        constrain="domain",
        showgrid=False,
    )
    sizes = [(found.size, "dot")]
    if found.theoretical is not None:
        sizes.append((found.theoretical.size[0], "solid"))
    for size, dash in sizes:
        top, left = (max(-0.5, middle - size / 2) for middle in found.centre)
        bottom, right = (middle + size / 2 for middle in found.centre)
        figure.add_shape(
            type="rect",
            x0=left,
            x1=min(width - 0.5, right),
            y0=top,
            y1=min(height - 0.5, bottom),
            line={"color": "white", "width": 2, "dash": dash},
        )
    return figure


def gains(
    names: Sequence[str],
    gains: Sequence[float],
    intervals: Sequence[tuple[float, float] | None],
) -> go.Figure:
    """Changes of an accuracy against a base, in points, one row a name, with their intervals.

    gains and the ends of intervals are fractions; None stands for no interval.
    """
    ends = [pair or (gain, gain) for pair, gain in zip(intervals, gains, strict=True)]
    points = go.Scatter(
        x=[100 * gain for gain in gains],
        y=[label(name, LONGEST_LABEL) for name in names],
        mode="markers",
        marker={"color": BLUE, "size": 9},
        error_x={
            "type": "data",
            "array": [100 * (high - gain) for (_, high), gain in zip(ends, gains, strict=True)],
            "arrayminus": [100 * (gain - low) for (low, _), gain in zip(ends, gains, strict=True)],
            "color": BLUE,
            "thickness": 1.5,
            "width": 5,
        },
        customdata=[[100 * low, 100 * high] for low, high in ends],
        hovertemplate="%{y}: %{x:+.2f} points (%{customdata[0]:+.2f} to %{customdata[1]:+.2f})"
        "<extra></extra>",
    )
    figure = new_figure([points], height=120 + 34 * len(names), margin_t=12)
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5, "dash": "dash"})
    figure.update_xaxes(title_text="Top-1 against the base (points)", tickformat="+.4~g")
    return figure.update_yaxes(autorange="reversed", showgrid=False)
