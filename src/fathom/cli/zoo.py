"""What `fathom models` prints: the list of networks, and one network's card."""

from __future__ import annotations

from collections.abc import Sequence

from fathom.cli.tables import console, print_columns, quantity
from fathom.models.cards import ModelCard, Published, Stage
from fathom.models.choose import Choice

_HEADS = ("name", "year", "arXiv", "params", "MACs", "FLOPs", "input", "top-1", "measured on")
_LEFT = ("name", "arXiv", "measured on")


def show_models(choices: Sequence[Choice], *, pareto: str | None = None) -> None:
    """Print a line a network, with latencies where they are known and the frontier if asked for."""
    timed = any(choice.seconds is not None for choice in choices)
    heads = [*_HEADS]
    if timed:
        heads.insert(7, "latency")
    if pareto is not None:
        heads.insert(0, "")
    rows = []
    for choice in choices:
        row = list(_line(choice.card))
        if timed:
            row.insert(7, "" if choice.seconds is None else f"{choice.seconds * 1e3:.1f} ms")
        if pareto is not None:
            row.insert(0, "*" if choice.frontier else "")
        rows.append(row)
    if not choices:
        console().print("no network fits these limits; raise one of them")
        return
    print_columns(heads, rows, left=_LEFT)
    count = f"{len(choices)} network{'' if len(choices) == 1 else 's'}"
    lines = [f"{count}; FLOPs = 2 x MACs; one in full: fathom models NAME"]
    if pareto is not None:
        lines.append(
            f"* no other of these is as accurate at as few {pareto}: ImageNet, one centre crop of "
            "the network's own size, no further training data; others take no part"
        )
    for line in lines:
        console().print(line, markup=False)


def _line(card: ModelCard) -> tuple[str, ...]:
    best = card.headline
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
    _show_stages(card.stages)
    out.print("\nblock", style="bold")
    out.print(card.block + "\n", markup=False)
    _show_published(card.published)


def _show_stages(stages: Sequence[Stage]) -> None:
    rows = [
        (
            stage.name,
            f"{stage.size} x {stage.size}",
            str(stage.channels),
            str(stage.depth or ""),
            stage.made_of,
        )
        for stage in stages
    ]
    heads = ("stage", "output", "channels", "blocks", "made of")
    print_columns(heads, rows, left=("stage", "made of"))


def _show_published(figures: Sequence[Published]) -> None:
    if not figures:
        console().print("no published accuracy")
        return
    rows = [
        (_percent(figure.top1), _percent(figure.top5), figure.protocol, figure.source)
        for figure in figures
    ]
    heads = ("top-1", "top-5", "measured on", "source")
    print_columns(heads, rows, left=("measured on", "source"))


def _arxiv(card: ModelCard) -> str:
    return f", arXiv:{card.arxiv}" if card.arxiv else ""


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
