"""What the commands print for people: plain words and rich tables."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from fathom.classifier import Prediction
    from fathom.evaluate import Evaluation

_SHOWN_FILES = 40


def console(*, stderr: bool = False) -> Console:
    """A console that breaks no words of paths and colours no numbers."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def print_columns(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[str] = ()
) -> None:
    """Print rows in aligned columns, those named in left from the left.

    A narrow terminal cuts the ends of lines; a file or another program gets all of them.
    """
    lines = [heads, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    out = console()
    for number, line in enumerate(lines):
        cells = [
            cell.ljust(width) if head in left else cell.rjust(width)
            for head, cell, width in zip(heads, line, widths, strict=True)
        ]
        text = "  ".join(cells).rstrip()
        if out.is_terminal and len(text) > out.width:
            text = text[: out.width - 1] + "…"
        out.print(text, style=None if number else "bold", markup=False)


def bad_image_lines(bad: Sequence[tuple[str, str]]) -> list[str]:
    """One summary of the files left out, each by name, the reason behind it."""
    if not bad:
        return []
    count = f"{len(bad)} file{'' if len(bad) == 1 else 's'}"
    lines = [f"left out {count} that cannot be used as they are:"]
    lines += [f"  {name}: {reason}" for name, reason in bad[:_SHOWN_FILES]]
    if len(bad) > _SHOWN_FILES:
        lines.append(f"  and {len(bad) - _SHOWN_FILES} more, all named in data.json")
    return lines


def show_bad_images(bad: Sequence[tuple[str, str]]) -> None:
    """Print the summary of files left out, on standard error."""
    for line in bad_image_lines(bad):
        console(stderr=True).print(line, markup=False)


def show_evaluation(found: Evaluation) -> None:
    """Print the figures of an evaluation and a row a class."""
    out = console()
    which = "all images" if found.split == "all" else f"{found.split} images"
    out.print(
        f"[bold]top-1 {found.top1:.2%}[/] of {found.num_images:,} {which} "
        f"(95 % interval {found.top1_low:.2%} to {found.top1_high:.2%})"
    )
    if found.top5 is not None:
        out.print(f"top-5 {found.top5:.2%}")
    out.print(f"loss {found.loss:.4f} nats, expected calibration error {found.ece:.2%}")
    table = Table("class", box=None, pad_edge=False)
    for name in ("precision", "recall", "F1", "images"):
        table.add_column(name, justify="right")
    for score in found.per_class:
        precision = "never named" if score.precision is None else f"{score.precision:.1%}"
        figures = (precision, f"{score.recall:.1%}", f"{score.f1:.1%}", f"{score.support:,}")
        table.add_row(escape(score.name), *figures)
    out.print(table)


def show_predictions(predictions: Sequence[Prediction]) -> None:
    """Print the classes of each image on a line, the likeliest first."""
    out = console()
    for prediction in predictions:
        if prediction.error:
            console(stderr=True).print(f"{prediction.name}: {prediction.error}", markup=False)
            continue
        chances = ", ".join(f"{name} {chance:.1%}" for name, chance in prediction.top)
        out.print(f"{prediction.name}: {chances}", markup=False)


def show_predictions_csv(predictions: Sequence[Prediction]) -> None:
    """Print path, rank, class, probability and error as CSV."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("path", "rank", "class", "probability", "error"))
    for prediction in predictions:
        if prediction.error:
            writer.writerow((prediction.name, "", "", "", prediction.error))
        for rank, (name, chance) in enumerate(prediction.top, 1):
            writer.writerow((prediction.name, rank, name, f"{chance:.6f}", ""))


def quantity(count: float) -> str:
    """A count as people write it: 269722 -> "0.27 M", 4089184256 -> "4.09 G"."""
    return f"{count / 1e9:.2f} G" if count >= 1e9 else f"{count / 1e6:.2f} M"
