"""A simulated world with two groups of users whose preferences are opposed."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool

from seqrec.data.simulation.worlds import World, draw_popularity


@dataclass(frozen=True)
class OpposedTastes:
    """Two groups of users; each likes the half of the items that the other dislikes.

    The better of two items after a history is therefore known, and an item's mean rating carries
    no information. The group shows in the history, which holds liked items more often.
    """

    worlds: tuple[World, World]
    """The world of each group."""
    likes: Bool[np.ndarray, "2 I"]
    """The items that each group likes."""

    def simulate(self, num_users: int, mean_length: float, seed: int) -> pl.DataFrame:
        """Simulate a log like ``World.simulate``; liked items are rated 4 or 5, others 1 or 2.

        The first letter of a user's id, ``a`` or ``b``, is the group.
        """
        logs = []
        for group, world in enumerate(self.worlds):
            log = world.simulate(num_users // 2, mean_length, seed + group)
            likes = pl.DataFrame({"item_id": world.item_ids, "is_liked": self.likes[group]})
            log = log.join(likes, on="item_id", maintain_order="left")
            rating = pl.when("is_liked").then(4).otherwise(1) + pl.col("rating") % 2
            log = log.with_columns(user_id="ab"[group] + pl.col("user_id"), rating=rating)
            logs.append(log.drop("is_liked"))
        return pl.concat(logs).sort("timestamp", maintain_order=True)

    def is_liked(self, user_id: str, item_id: str) -> bool:
        """Return True if a user likes an item."""
        group = "ab".index(user_id[0])
        return bool(self.likes[group, self.worlds[group].item_ids.index(item_id)])


def opposed_tastes(num_items: int = 40, seed: int = 0, lean: float = 2.0) -> OpposedTastes:
    """Build two groups of users; liked items are ``lean`` times as likely to be watched."""
    generator = np.random.default_rng(seed)
    is_liked_by_first = generator.permutation(num_items) < num_items // 2
    likes = np.stack([is_liked_by_first, ~is_liked_by_first])
    popularity = draw_popularity(num_items, generator)
    chances = [np.where(is_liked, lean, 1.0) * popularity for is_liked in likes]
    first, second = (World(chance / chance.sum()) for chance in chances)
    return OpposedTastes((first, second), likes)
