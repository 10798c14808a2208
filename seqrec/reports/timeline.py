"""A timeline of the roles of reinforcement learning, as a plot and in seconds."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from seqrec.reports.plots import to_png

STAGE_COLOURS = {
    "publish": "#b8bfc9",
    "generate": "#1f5fa8",
    "score": "#4f9d69",
    "update": "#c8642b",
    "guard": "#8c6bb1",
    "roll back": "#b3243c",
}
OTHER_COLOUR = "#777777"
NUM_UPDATES_SHOWN = 12

Event = Mapping[str, Any]


def timeline(events: Sequence[Event]) -> bytes:
    """A plot with a lane per role and a bar per stage, for the last few updates."""
    last = max(event["update"] for event in events)
    shown = [event for event in events if event["update"] > last - NUM_UPDATES_SHOWN]
    roles = list(dict.fromkeys(event["role"] for event in shown))
    start = min(event["start"] for event in shown)
    figure = Figure(figsize=(8.4, 0.9 + 0.5 * len(roles)), layout="constrained")
    axis = figure.subplots()
    for stage in dict.fromkeys(event["stage"] for event in shown):
        bars = [event for event in shown if event["stage"] == stage]
        axis.barh(
            [roles.index(event["role"]) for event in bars],
            [event["end"] - event["start"] for event in bars],
            left=[event["start"] - start for event in bars],
            color=STAGE_COLOURS.get(stage, OTHER_COLOUR),
            height=0.7,
            label=stage,
        )
    axis.set_yticks(range(len(roles)), roles)
    axis.invert_yaxis()
    axis.set_xlabel(f"seconds, updates {max(last - NUM_UPDATES_SHOWN + 1, 0)} to {last}")
    axis.legend(frameon=False, fontsize=8, ncols=6, loc="lower center", bbox_to_anchor=(0.5, 1))
    axis.spines[["top", "right"]].set_visible(False)
    return to_png(figure)


def stage_seconds(events: Sequence[Event]) -> dict[str, float]:
    """The total seconds of each stage, and ``idle``: the time that no stage covers.

    Overlapping stages count separately; idle time lies between the first start and the last end.
    """
    seconds: dict[str, float] = {}
    for event in events:
        took = event["end"] - event["start"]
        seconds[event["stage"]] = seconds.get(event["stage"], 0.0) + took
    covered, reached = 0.0, float("-inf")
    for start, end in sorted((event["start"], event["end"]) for event in events):
        covered += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return {**seconds, "idle": whole_seconds(events) - covered}


def whole_seconds(events: Sequence[Event]) -> float:
    """The seconds from the first start to the last end."""
    return max(event["end"] for event in events) - min(event["start"] for event in events)
