"""The frontier of rewards beside the checks of a run of reinforcement learning."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from seqrec.reports.plots import MODEL_COLOUR, SECOND_COLOUR, to_png
from seqrec.reports.tables import text_table


def frontier_table(points: Sequence[Mapping[str, Any]]) -> str:
    """Return the points of a frontier as a table, the reference first."""
    names = {"kl_nats": "KL (nats)", "sampled_reward": "reward, sampled"}
    names |= {"top_reward": "reward, most probable", "recall": "recall@10"}
    return text_table([{names[key]: point[key] for key in names} for point in points])


def plot_frontier(
    points: Sequence[Mapping[str, float]], checks: Sequence[Mapping[str, Any]], budget: float
) -> bytes:
    """Plot the reward of the most probable items against KL, with the checks of a run as dots.

    Args:
        points: the frontier.
        checks: events of the guard.
        budget: largest KL that the guard allows.
    """
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    shown = [point for point in points if point["kl_nats"] <= 3 * budget] or points[:2]
    kl = [point["kl_nats"] for point in shown]
    axis.plot(kl, [p["top_reward"] for p in shown], color=MODEL_COLOUR, label="frontier")
    passed = [check for check in checks if check["is_good"]]
    failed = [check for check in checks if not check["is_good"]]
    for some, marker, label in ((passed, "o", "checks of the run"), (failed, "x", "rolled back")):
        if some:
            axis.plot(
                [check["kl_nats"] for check in some],
                [check["reward"] for check in some],
                marker,
                color=SECOND_COLOUR,
                label=label,
            )
    axis.axvline(budget, color="#b8bfc9", linewidth=1, linestyle=":")
    axis.set_xlabel("KL from the reference (nats per item)")
    axis.set_ylabel("reward of the most probable items")
    axis.legend(frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    return to_png(figure)
