"""Plots as PNG bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

MODEL_COLOUR = "#1f5fa8"
FLOOR_COLOUR = "#b8bfc9"
SECOND_COLOUR = "#c8642b"


def learning_curve(lines: Sequence[Mapping[str, Any]], metric: str) -> bytes:
    """Training loss and the validation metric by epoch, from the lines of a ``log.jsonl``."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    epochs = [line["epoch"] + 1 for line in lines]
    left = figure.subplots()
    left.plot(epochs, [line["train/loss_nats"] for line in lines], color=SECOND_COLOUR)
    left.set_xlabel("epoch")
    left.set_ylabel("training loss (nats)", color=SECOND_COLOUR)
    right = left.twinx()
    values = [line[f"val/{metric}"] for line in lines]
    right.plot(epochs, values, color=MODEL_COLOUR)
    best = max(range(len(values)), key=values.__getitem__)
    right.plot(epochs[best], values[best], "o", color=MODEL_COLOUR)
    right.set_title(f"best {metric} {values[best]:.4f}, epoch {epochs[best]}", fontsize=10)
    right.set_ylabel(f"validation {metric}", color=MODEL_COLOUR)
    for axis in (left, right):
        axis.spines["top"].set_visible(False)
    return png_of(figure)


def bars(
    names: Sequence[str],
    values: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    label: str,
    highlight: str,
) -> bytes:
    """A horizontal bar a system with its interval; one of them stands out."""
    figure = Figure(figsize=(6.4, 0.6 + 0.5 * len(names)), layout="constrained")
    axis = figure.subplots()
    places = range(len(names))
    errors = [
        [value - low for value, (low, _) in zip(values, intervals, strict=True)],
        [high - value for value, (_, high) in zip(values, intervals, strict=True)],
    ]
    colours = [MODEL_COLOUR if name == highlight else FLOOR_COLOUR for name in names]
    axis.barh(places, values, color=colours, xerr=errors, ecolor="#444", capsize=3)
    for place, value, (_, high) in zip(places, values, intervals, strict=True):
        axis.annotate(
            f"{value:.3f}", (high, place), xytext=(6, 0), textcoords="offset points", va="center"
        )
    axis.set_yticks(places, names)
    axis.invert_yaxis()
    axis.set_xlabel(label)
    axis.set_xlim(0, 1.15 * max(high for _, high in intervals))
    axis.spines[["top", "right"]].set_visible(False)
    return png_of(figure)


def png_of(figure: Figure) -> bytes:
    """The figure as a picture."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=144)
    return content.getvalue()
