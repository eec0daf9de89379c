"""What `fathom models` prints: the list of networks, and one network's card."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from fathom.cli.tables import console, quantity
from fathom.models.cards import ModelCard, Published

_HEADS = ("name", "year", "arXiv", "params", "MACs", "FLOPs", "input", "top-1", "measured on")
_LEFT = ("name", "arXiv", "measured on")


def show_models(cards: Sequence[ModelCard]) -> None:
    """Print a line a network. A narrow terminal cuts the ends of lines; a file gets all of them."""
    rows = [_HEADS, *(_line(card) for card in cards)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADS))]
    out = console()
    for number, row in enumerate(rows):
        cells = [
            cell.ljust(width) if head in _LEFT else cell.rjust(width)
            for head, cell, width in zip(_HEADS, row, widths, strict=True)
        ]
        line = "  ".join(cells).rstrip()
        if out.is_terminal and len(line) > out.width:
            line = line[: out.width - 1] + "…"
        out.print(line, style=None if number else "bold", markup=False)
    out.print(
        f"{len(cards)} networks; FLOPs = 2 x MACs; one in full: fathom models {cards[0].name}"
    )


def _line(card: ModelCard) -> tuple[str, ...]:
    best = best_figure(card)
    return (
        card.name,
        str(card.year),
        card.arxiv or "none",
        quantity(card.params),
        quantity(card.macs),
        quantity(card.flops),
        str(card.image_size),
        _percent(best.top1) if best else "",
        f"{best.protocol} ({best.source})" if best else "",
    )


def show_card(card: ModelCard) -> None:
    """Print all that is known of one network: figures, stages, a diagram of its block."""
    out = console()
    out.print(f"[bold]{card.name}[/]  {card.paper}, {card.year}" + _arxiv(card))
    size = f"{card.in_channels} x {card.image_size} x {card.image_size}"
    out.print(
        f"{card.params:,} parameters; {card.macs:,} MACs = {card.flops:,} FLOPs for one image of "
        f"{size} and {card.num_classes:,} classes"
    )
    for library in ("torchvision", "timm"):
        name = getattr(card, library)
        if name:
            out.print(f"peer in {library}: {name}, equal by test")
    out.print(f"recipe: {card.recipe}\n")
    _show_stages(card)
    out.print("\nblock", style="bold")
    out.print(card.block + "\n", markup=False)
    _show_published(card.published)


def _show_stages(card: ModelCard) -> None:
    table = Table("stage", box=None, pad_edge=False)
    for name in ("output", "channels", "blocks"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("made of", overflow="fold")
    for stage in card.stages:
        depth = str(stage.depth) if stage.depth else ""
        row = (stage.name, f"{stage.size} x {stage.size}", str(stage.channels), depth)
        table.add_row(*row, stage.made_of)
    console().print(table, soft_wrap=False)


def _show_published(figures: Sequence[Published]) -> None:
    if not figures:
        console().print("no published accuracy")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("top-1", "top-5"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("measured on", overflow="fold")
    table.add_column("source", overflow="fold")
    for figure in figures:
        row = (_percent(figure.top1), _percent(figure.top5), figure.protocol, figure.source)
        table.add_row(*row)
    console().print(table, soft_wrap=False)


def best_figure(card: ModelCard) -> Published | None:
    """The published figure with the highest top-1, or of networks without one the first."""
    known = [figure for figure in card.published if figure.top1 is not None]
    return max(known, key=lambda f: f.top1 or 0.0, default=next(iter(card.published), None))


def _arxiv(card: ModelCard) -> str:
    return f", arXiv:{card.arxiv}" if card.arxiv else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
