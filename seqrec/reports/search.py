"""A plot of a search: the metric by trial, and by each setting."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from seqrec.reports.plots import BASELINE_COLOUR, MODEL_COLOUR, SECOND_COLOUR, to_png

COLUMNS = 3


def search_plot(
    trials: Sequence[Mapping[str, Any]], metric: str, log_settings: Sequence[str]
) -> bytes:
    """Plot the metric by trial with the best so far, and by each setting; pruned trials are hollow.

    Args:
        trials: ``trial``, ``state``, ``settings`` and the metric; failed trials lack the metric.
        metric: the selection metric.
        log_settings: settings with a logarithmic axis.
    """
    shown = [trial for trial in trials if metric in trial]
    settings = list(dict.fromkeys(key for trial in shown for key in trial["settings"]))
    num_rows = math.ceil((1 + len(settings)) / COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 2.8 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, COLUMNS, squeeze=False, sharey=True).flatten()
    _by_trial(panels[0], shown, metric)
    for panel, key in zip(panels[1:], settings, strict=False):
        _by_setting(panel, shown, metric, key, key in log_settings)
    for panel in panels[1 + len(settings) :]:
        panel.set_visible(False)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    for row in range(num_rows):
        panels[row * COLUMNS].set_ylabel(f"validation {metric}")
    return to_png(figure)


def _by_trial(panel: Axes, trials: Sequence[Mapping[str, Any]], metric: str) -> None:
    best, so_far = [], -math.inf
    for trial in trials:
        if trial["state"] == "complete":
            so_far = max(so_far, trial[metric])
        best.append(so_far if so_far > -math.inf else math.nan)
    numbers = [trial["trial"] for trial in trials]
    panel.step(numbers, best, where="post", color=BASELINE_COLOUR)
    _points(panel, numbers, trials, metric)
    panel.set_xlabel("trial")


def _by_setting(
    panel: Axes, trials: Sequence[Mapping[str, Any]], metric: str, key: str, is_log: bool
) -> None:
    values = [trial["settings"][key] for trial in trials]
    is_number = all(isinstance(value, int | float) and value is not True for value in values)
    _points(panel, values if is_number else [_label(value) for value in values], trials, metric)
    if is_log:
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter("")
    if not is_number:
        panel.margins(x=0.3)
        panel.tick_params(axis="x", rotation=15)
    panel.set_xlabel(key)


def _label(value: Any) -> str:
    """The short text of a choice; the values of a block."""
    return ", ".join(map(str, value.values())) if isinstance(value, dict) else str(value)


def _points(
    panel: Axes, positions: Sequence[Any], trials: Sequence[Mapping[str, Any]], metric: str
) -> None:
    """Draw a dot per trial: filled if complete, hollow if pruned, the best in another colour."""
    complete = [trial[metric] for trial in trials if trial["state"] == "complete"]
    best = max(complete, default=math.nan)
    faces = []
    for trial in trials:
        is_complete = trial["state"] == "complete"
        colour = SECOND_COLOUR if is_complete and trial[metric] == best else MODEL_COLOUR
        faces.append(colour if is_complete else "none")
    values = [trial[metric] for trial in trials]
    edges = [face if face != "none" else MODEL_COLOUR for face in faces]
    panel.scatter(positions, values, facecolors=faces, edgecolors=edges, s=22, zorder=3)
