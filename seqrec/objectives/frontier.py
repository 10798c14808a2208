"""The frontier of a run of reinforcement learning: what its reference and reward allow."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqrec.builders.named_models import open_same_items
from seqrec.config.recipe import Recipe
from seqrec.data.prepared import PreparedData
from seqrec.reports.frontier import frontier_table, plot_frontier
from seqrec.rl.frontier import compute_frontier, share_of_frontier
from seqrec.rl.prompts import PromptSource
from seqrec.rl.rewards import Reward

FRONTIER_FILE = "frontier.png"


def measure_frontier(
    recipe: Recipe,
    prepared: PreparedData,
    source: PromptSource,
    reward: Reward,
    events: Sequence[dict[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """Return the frontier and the run's share of its gain, print both, and write a plot.

    Nothing if the reward is not a mean over a slate's items, or if the policy plans.

    Args:
        recipe: of objective rl.
        prepared: the data.
        source: prompts of the run.
        reward: reward of the run.
        events: what the run logged.
        folder: folder of the plot.
    """
    settings = recipe.objective
    assert settings.name == "rl"
    if settings.slates.plan or not reward.is_itemwise:
        return {}
    points = compute_frontier(
        open_same_items(str(recipe.model.from_pretrained), prepared).model,
        reward,
        source.held_out(settings.num_held_out_prompts),
        slate_size=settings.slates.slate_size,
        max_length=recipe.data.max_length,
    )
    checks = [event for event in events if event["stage"] == "guard"]
    last = [check for check in checks if check["is_good"]][-1]
    share = share_of_frontier(points, last["reward"], last["kl_nats"])
    rows = [point._asdict() for point in points]
    plot = plot_frontier(rows, checks, settings.guard.max_kl_nats)
    (folder / FRONTIER_FILE).write_bytes(plot)
    print(f"the frontier of the reference:\n{frontier_table(rows)}", file=sys.stderr)
    if share is not None:
        print(
            f"reward {last['reward']:.4f}: {share:.0%} of the frontier's gain at "
            f"{last['kl_nats']:.3f} nats",
            file=sys.stderr,
        )
    return {"frontier": rows, "share_of_frontier": share}
