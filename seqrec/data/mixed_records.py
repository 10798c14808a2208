"""Records of text files, followed by histories of a prepared folder, as one set of examples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from seqrec.data.prepared import PreparedData
from seqrec.data.text_files import Place, TextFiles


class MixedRecords:
    """The records of text files, and of the histories that a share of them makes."""

    def __init__(
        self,
        texts: TextFiles,
        prepared: PreparedData,
        *,
        key: str,
        share: float,
        length: int,
        seed: int,
    ) -> None:
        """Open the histories; users are drawn without repetition.

        Args:
            texts: the files.
            prepared: the log; its held-out parts are not read.
            key: the key of a record that holds the ids of a history.
            share: share of all records that are histories, as far as there are users.
            length: most last items of a history.
            seed: of the draw.
        """
        self.texts = texts
        self.key = key
        self.path = texts.path
        histories = prepared.histories()
        item_ids = prepared.items()["item_id"].to_list()
        parts = [histories.training_part(user) for user in range(prepared.num_users)]
        number = sum(1 for _ in texts.records())
        order = np.random.default_rng(seed).permutation(
            [user for user, part in enumerate(parts) if len(part) > 1]
        )
        chosen = order[: round(share / (1 - share) * number)].astype(int).tolist()
        self.histories: list[Int[np.ndarray, " T"]] = [parts[user][-length:] for user in chosen]
        self._users = chosen
        self._item_ids = item_ids

    def records(self) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Yield every record and its place: those of the files, then histories."""
        yield from self.texts.records()
        for number in range(len(self.histories)):
            place = Place(len(self.texts.files), 0, number)
            yield place, self.read(place)

    def read(self, place: Place) -> dict[str, Any]:
        """Return the record of a place."""
        if place.file < len(self.texts.files):
            return self.texts.read(place)
        return {self.key: [self._item_ids[item] for item in self.histories[place.row]]}

    def name(self, place: Place) -> str:
        """Return the name of a record in messages: its file and line, or its user."""
        if place.file < len(self.texts.files):
            return self.texts.name(place)
        return f"{Path(self.path)}: history of user {self._users[place.row]}"
