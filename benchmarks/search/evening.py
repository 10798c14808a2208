"""One sentence end to end: its time, its genre, its mood, and the same list through FAISS."""

import json
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

import seqrec
from benchmarks.engine.rows import Row, at_least, at_most, row
from benchmarks.search.systems import Systems
from seqrec.builders.text_search import build_text_search
from seqrec.jobs.list_requests import serve_model
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.text_requests import TextSearch

SENTENCE = "something light and funny for a Tuesday evening"
COMEDY = "a light and funny comedy for a Tuesday evening"
SAD = ("sad", "depressing", "tragedy", "tear jerker", "melancholic", "bleak", "downbeat")
NUM_TIMED = 200
NUM_HISTORIES = 50
MAX_HISTORY = 200


def measure_evening(systems: Systems, words: Path, limit: int | None) -> Iterator[Row]:
    """Yield percentiles of the time on one core, and what the lists hold."""
    torch.set_num_threads(1)
    items = systems.prepared.items()
    ids, histories = items["item_id"].to_list(), systems.prepared.histories()
    asked = [
        ListRequest([ids[item] for item in histories.items[start:end][-MAX_HISTORY:]], 10)
        for start, end in zip(
            histories.offsets[:NUM_HISTORIES].tolist(),
            histories.offsets[1 : NUM_HISTORIES + 1].tolist(),
            strict=True,
        )
    ]
    new_row = partial(row, "evening", module="benchmarks.search")
    folder = systems.run.folder
    assert folder is not None
    with tempfile.TemporaryDirectory() as out:
        index = Path(out) / "index"
        seqrec.export(folder, to="faiss-flat", out=index)
        exact = build_text_search(serve_model(folder, None, None, None))
        indexed = build_text_search(serve_model(folder, None, None, index / "items" / "flat"))
        seconds = _time(exact, asked)
        p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1e3
        work = f"{SENTENCE!r}, one core"
        note = f"p50 {p50:.1f} ms; {len(seconds)} requests after histories of up to {MAX_HISTORY}"
        yield new_row(f"{work}: p95", [float(p95)], "ms", target=at_most(150), note=note)
        same = [
            _list(exact, text, one) == _list(indexed, text, one)
            for text in (SENTENCE, COMEDY)
            for one in asked
        ]
        yield new_row(
            f"{SENTENCE!r}: lists equal through FAISS",
            [float(np.mean(same))],
            "share",
            target=at_least(1.0),
            note=f"{len(same)} lists",
        )
    lines = [json.loads(line) for line in (words / "tags-seen.jsonl").read_text().splitlines()]
    is_sad = {line["item_id"] for line in lines if set(line["tags"]) & set(SAD)}
    genres = dict(zip(ids, items["genres"].to_list(), strict=True))
    for text in (SENTENCE, COMEDY):
        lists = [_list(exact, text, one) for one in asked]
        comedies = [sum("Comedy" in genres[item] for item in one) for one in lists]
        sad = [len(is_sad & set(one)) for one in lists]
        yield new_row(
            f"{text!r}: comedies of ten",
            [float(np.mean(comedies))],
            "",
            target=at_least(10),
            note=f"least {min(comedies)}; {len(lists)} histories",
        )
        yield new_row(
            f"{text!r}: sad ones by people's tags",
            [float(max(sad))],
            "",
            target=at_most(2),
            note=f"the most of {len(lists)} lists; mean {np.mean(sad):.2f}",
        )


def _time(search: TextSearch, asked: list[ListRequest]) -> list[float]:
    search.answer(SENTENCE, asked[0])  # loads the encoder
    seconds = []
    for number in range(NUM_TIMED):
        begun = time.perf_counter()
        search.answer(SENTENCE, asked[number % len(asked)])
        seconds.append(time.perf_counter() - begun)
    return seconds


def _list(search: TextSearch, text: str, asked: ListRequest) -> list[str]:
    return [one["item_id"] for one in search.answer(text, asked)["recommendations"]]
