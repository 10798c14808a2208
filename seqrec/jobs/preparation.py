"""Preparation of one log, for one split or several."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqrec.data.log.item_file import ItemFile, check_known_items
from seqrec.data.log.normalization import ReadOptions
from seqrec.data.log.sources import Log
from seqrec.data.preparation.filters import Filters
from seqrec.data.preparation.interactions import Catalog, Interactions, prepare_interactions
from seqrec.data.preparation.preview import preview_histories
from seqrec.data.preparation.understanding import describe
from seqrec.data.preparation.writing import write_prepared
from seqrec.data.splits import SplitBy


@dataclass(frozen=True)
class Preparation:
    """A log and the options that hold for every split of it."""

    name: str
    log: Log
    item_features: ItemFile | None
    """The file of ``--items``."""
    filters: Filters
    reading: ReadOptions
    catalog: Catalog

    def build(self, split: SplitBy) -> Interactions:
        """Return the interactions, filtered and split."""
        interactions = prepare_interactions(
            self.log, self.filters, split, self.catalog, self.reading
        )
        if self.item_features is not None:
            num_unwatched = interactions.counts.get("unwatched_items", 0)
            num_watched = len(interactions.item_ids) - num_unwatched
            check_known_items(self.item_features, interactions.item_ids[:num_watched])
        return interactions

    def explain(self, split: SplitBy) -> dict[str, Any]:
        """Return how the log was understood, with five users' histories."""
        interactions = self.build(split)
        return {
            "understood": describe(self.log, interactions, split),
            "counts": interactions.counts,
            "preview": preview_histories(self.log, interactions),
        }

    def write(self, folder: Path, split: SplitBy) -> dict[str, Any]:
        """Write the prepared folder and return its manifest."""
        return write_prepared(
            folder,
            self.build(split),
            source=self.name,
            log=self.log,
            filters=self.filters,
            split_by=split,
            reading=self.reading,
            catalog=self.catalog,
        )
