"""The model that is served, requests for it, and what its library answers to them."""

import json
from dataclasses import dataclass
from pathlib import Path

import seqrec
from benchmarks.engine.prepared import FOLDER, prepared
from seqrec.data.prepared import PreparedData
from seqrec.ranking.recommender import Recommender

RUN = FOLDER / "runs" / "ml1m-served"
EPOCHS = 2
NUM_REQUESTS = 500
HISTORY_LENGTHS = (5, 10, 20, 50)
K = 10


@dataclass(frozen=True)
class Exchange:
    """A request, and the items and scores that answer it."""

    body: bytes
    expected: tuple[tuple[str, float], ...]


def served_run() -> Path:
    """The run folder of a small model of MovieLens-1M, trained once."""
    if not (RUN / "model").is_dir():
        seqrec.train(
            "sft",
            data=prepared("ml-1m"),
            out=RUN,
            overrides=[f"trainer.max_epochs={EPOCHS}"],
            overwrite=True,
        )
    return RUN


def exchanges(run: Path) -> list[Exchange]:
    """Requests for users of the data, and the lists of ``recommend`` for them."""
    data = PreparedData.open(prepared("ml-1m"))
    recommender = Recommender.from_pretrained(run)
    ids, read = recommender.item_ids, data.histories()
    histories = [
        [ids[item] for item in read.training_part(user)[-HISTORY_LENGTHS[user % 4] :]]
        for user in range(NUM_REQUESTS)
    ]
    lists = recommender.recommend(histories, k=2 * K)
    return [
        Exchange(json.dumps({"history": history, "k": K}).encode(), tuple(pairs))
        for history, pairs in zip(histories, lists, strict=True)
    ]
