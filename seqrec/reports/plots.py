"""Plots as PNG bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqrec.reports.tables import Estimate

MODEL_COLOUR = "#1f5fa8"
BASELINE_COLOUR = "#b8bfc9"
SECOND_COLOUR = "#c8642b"
OTHER_COLOURS = ("#c8642b", "#6b7f2a", "#8a5aa8", "#8f98a5", "#2a8a8a", "#a8803a", "#444c57")
MARKERS = "sD^vPX<"
NAME_LETTERS = 28


def learning_curve(
    logs: Sequence[Sequence[Mapping[str, Any]]], metric: str, best_epochs: Sequence[int]
) -> bytes:
    """Plot training loss and validation metric by epoch, a line per seed, with dots at best epochs.

    Args:
        logs: the lines of each seed's ``log.jsonl``.
        metric: the selection metric; without validation there is no curve of it.
        best_epochs: the best epoch of each seed, from 1; 0 if the initial weights were kept.
    """
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    left = figure.subplots()
    for lines in logs:
        epochs = [line["epoch"] + 1 for line in lines]
        losses = [line["train/loss_nats"] for line in lines]
        left.plot(epochs, losses, color=SECOND_COLOUR, linewidth=1.2)
    left.set_xlabel("epoch")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_ylabel("training loss (nats)", color=SECOND_COLOUR)
    left.spines["top"].set_visible(False)
    runs = zip(logs, best_epochs, strict=True)
    validated = [(lines, best) for lines, best in runs if lines and f"val/{metric}" in lines[0]]
    if not validated:
        return to_png(figure)
    right = left.twinx()
    chosen = []
    for lines, best in validated:
        values = {line["epoch"] + 1: line[f"val/{metric}"] for line in lines}
        right.plot(list(values), list(values.values()), color=MODEL_COLOUR, linewidth=1.2)
        if best in values:
            right.plot(best, values[best], "o", color=MODEL_COLOUR)
            chosen.append((values[best], best))
    title = "no epoch was better than the start"
    if len(chosen) == 1:
        title = f"chosen: {metric} {chosen[0][0]:.4f}, epoch {chosen[0][1]}"
    elif chosen:
        mean = sum(value for value, _ in chosen) / len(chosen)
        title = f"chosen: {metric} {mean:.4f}, mean of {len(chosen)} seeds"
    right.set_title(title, fontsize=10)
    right.set_ylabel(f"validation {metric}", color=MODEL_COLOUR)
    right.spines["top"].set_visible(False)
    return to_png(figure)


def bars(
    names: Sequence[str],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    label: str,
    highlight: str,
) -> bytes:
    """Plot a horizontal bar per system with its interval; one bar is highlighted."""
    figure = Figure(figsize=(6.4, 0.6 + 0.5 * len(names)), layout="constrained")
    axis = figure.subplots()
    positions = range(len(names))
    errors = [
        [max(value - low, 0) for value, (low, _) in zip(values, intervals, strict=True)],
        [max(high - value, 0) for value, (_, high) in zip(values, intervals, strict=True)],
    ]
    colours = [MODEL_COLOUR if name == highlight else BASELINE_COLOUR for name in names]
    axis.barh(positions, values, color=colours, xerr=errors, ecolor="#444", capsize=3)
    for position, value, (_, high) in zip(positions, values, intervals, strict=True):
        axis.annotate(
            f"{value:.3f}", (high, position), xytext=(6, 0), textcoords="offset points", va="center"
        )
    _name_rows(axis, names)
    axis.set_xlabel(label)
    axis.set_xlim(0, 1.15 * max(high for _, high in intervals) or 1)
    axis.spines[["top", "right"]].set_visible(False)
    return to_png(figure)


def differences(
    names: Sequence[str],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    are_significant: Sequence[bool],
    label: str,
) -> bytes:
    """Plot a dot per difference with its interval, filled if significant, and a line at zero."""
    figure = Figure(figsize=(6.4, 0.7 + 0.4 * len(names)), layout="constrained")
    axis = figure.subplots()
    axis.axvline(0, color=BASELINE_COLOUR, linewidth=1.2)
    rows = zip(values, intervals, are_significant, strict=True)
    for position, (value, (low, high), is_significant) in enumerate(rows):
        axis.plot([low, high], [position, position], color="#444")
        face = MODEL_COLOUR if is_significant else "white"
        axis.plot(value, position, "o", color=MODEL_COLOUR, markerfacecolor=face)
    _name_rows(axis, names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlabel(label, parse_math=False)
    axis.spines[["top", "right"]].set_visible(False)
    return to_png(figure)


def by_group(
    groups: Sequence[str],
    systems: Mapping[str, Sequence[Estimate | None]],
    label: str,
    title: str,
    highlight: str,
) -> bytes:
    """Plot each system's value in every group with its interval; missing values are skipped."""
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.subplots()
    others = iter(OTHER_COLOURS * len(systems))
    step = 0.7 / len(systems)
    handles = []
    for number, (name, cells) in enumerate(systems.items()):
        shift = (number - (len(systems) - 1) / 2) * step
        colour = MODEL_COLOUR if name == highlight else next(others)
        marker = "o" if name == highlight else MARKERS[number % len(MARKERS)]
        shown = [
            (position + shift, estimate)
            for position, estimate in enumerate(cells)
            if estimate is not None
        ]
        for position, estimate in shown:
            if estimate.interval is not None:
                axis.plot([position, position], estimate.interval, color=colour, linewidth=1.2)
        positions, values = (
            [position for position, _ in shown],
            [estimate.mean for _, estimate in shown],
        )
        handles += axis.plot(positions, values, marker, color=colour, markersize=5)
    axis.set_xticks(range(len(groups)), [_short(group) for group in groups], parse_math=False)
    axis.set_xlim(-0.6, len(groups) - 0.4)
    axis.set_ylim(bottom=0)
    axis.set_ylabel(label)
    axis.set_title(title, fontsize=10, parse_math=False)
    axis.spines[["top", "right"]].set_visible(False)
    names = [_short(name) for name in systems]
    legend = figure.legend(
        handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=8
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return to_png(figure)


def _name_rows(axis: Axes, names: Sequence[str]) -> None:
    """Label the rows from top to bottom; a dollar sign starts no formula."""
    axis.set_yticks(range(len(names)), [_short(name) for name in names], parse_math=False)
    axis.invert_yaxis()


def _short(name: str) -> str:
    """The name, cut to a length that leaves room for the plot."""
    return name if len(name) <= NAME_LETTERS else name[: NAME_LETTERS - 1] + "…"


def to_png(figure: Figure) -> bytes:
    """The figure as PNG bytes."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=144)
    return content.getvalue()
