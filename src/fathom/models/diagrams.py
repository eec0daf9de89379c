"""Text diagrams of blocks, for the cards. Free of PyTorch."""

from collections.abc import Sequence


def chain(steps: Sequence[str]) -> str:
    """One step after another."""
    return "\n  │\n".join(["input", *steps])


def residual(branch: Sequence[str], shortcut: str, after: str = "") -> str:
    """A branch beside a shortcut, and their sum; after acts on the sum."""
    width = max(len(step) for step in branch) + 2
    middle = (len(branch) - 1) // 2
    lines = ["input " + "─" * (width - 6) + "┐"]
    for index, step in enumerate(branch):
        lines.append(f"{step:<{width}}│" + (f"  {shortcut}" if index == middle else ""))
    lines.append("+ " + "─" * (width - 2) + "┘")
    return "\n".join([*lines, *([after] if after else [])])


def parallel(branches: Sequence[Sequence[str]], join: str) -> str:
    """Branches side by side from the same input, put together at the end."""
    widths = [max(len(step) for step in branch) + 3 for branch in branches]
    height = max(len(branch) for branch in branches)
    ends = [sum(widths[:i]) for i in range(len(widths))]
    rail = "".join(("┬" if i else "├") + "─" * (w - 1) for i, w in enumerate(widths))
    lines = ["input", rail[: ends[-1]] + "┐"]
    for row in range(height):
        cells = [
            f"{(branch[row] if row < len(branch) else '│'):<{width}}"
            for branch, width in zip(branches, widths, strict=True)
        ]
        lines.append("".join(cells).rstrip())
    lines.append("└" + rail[1 : ends[-1]].replace("┬", "┴") + "┘")
    return "\n".join([*lines, join])
