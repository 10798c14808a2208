"""Preparation of one log, for one split or several."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqrec.data.log.item_file import ItemFile, add_items, check_known_items, read_item_file
from seqrec.data.log.normalization import ReadOptions
from seqrec.data.log.sources import Log
from seqrec.data.preparation.filters import Filters
from seqrec.data.preparation.interactions import Catalog, Interactions, prepare_interactions
from seqrec.data.preparation.preview import preview_histories
from seqrec.data.preparation.understanding import describe
from seqrec.data.preparation.writing import write_prepared
from seqrec.data.splits import SplitBy
from seqrec.data.windows import WINDOW_PREFIX


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

    @classmethod
    def open(
        cls,
        name: str,
        log: Log,
        items: Any,
        filters: Filters,
        reading: ReadOptions,
        catalog: Catalog,
    ) -> "Preparation":
        """Return the preparation of a log, with the features of its ``--items``, if any."""
        if items is None:
            return cls(name, log, None, filters, reading, catalog)
        features = read_item_file(items, log.columns.item, verbatim_ids=reading.verbatim_ids)
        return cls(name, add_items(log, features), features, filters, reading, catalog)

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

    def write_windows(
        self, folder: Path, out: str | Path, splits: Sequence[SplitBy]
    ) -> list[dict[str, Any]]:
        """Write a prepared folder a window, and return their manifests and places in ``out``."""
        windows = []
        for number, split in enumerate(splits, 1):
            part = folder / f"{WINDOW_PREFIX}{number}"
            part.mkdir()
            windows.append({"out": str(Path(out) / part.name), **self.write(part, split)})
        return windows

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
