"""Mutated inputs of every kind that the verbs read: a result or one line, never anything else.

    python -m tests.campaigns.mutations --cases 10000 --seed 0

Each case mutates one file, or the text of one option, of a small world, and reads it as a verb
does. A hang of over 60 s, a process that dies and more than 4 GB of memory are wrong.
"""

import atexit
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from tests.campaigns.runner import Judge, Verdict, main
from tests.campaigns.subjects import build_subjects
from tests.campaigns.watchdog import Watched
from tests.campaigns.world import build_world

NUM_CASES = 10_000
SHARES = {
    "recipe": 15,
    "override": 6,
    "option": 3,
    "search": 3,
    "index": 7,
    "model": 9,
    "prepared": 7,
    "judged run": 4,
    "evaluation": 3,
    "cache": 4,
    "pairs": 4,
    "labels": 3,
    "annotations": 3,
    "item file": 5,
    "history": 7,
    "recommendations": 5,
    "texts": 4,
    "language model": 4,
    "request in words": 3,
    "condition": 3,
    "store": 3,
    "store's address": 2,
    "onnx": 3,
    "new items": 3,
    "served settings": 3,
    "pointer or token": 2,
    "user store": 2,
}
"""How often each kind is drawn."""


def build_judge(folder: Path) -> Judge:
    """Make the world in an empty folder, and return the judge of its mutations."""
    watched = Watched(partial(build_subjects, build_world(folder)))
    atexit.register(watched.close)
    kinds, shares = list(SHARES), np.array(list(SHARES.values()))

    def judge(generator: np.random.Generator, scratch: Path) -> Verdict:
        kind = str(generator.choice(kinds, p=shares / shares.sum()))
        return watched.judge(kind, generator, scratch)

    return judge


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="campaign-world-") as world:
        sys.exit(main(build_judge(Path(world)), NUM_CASES))
