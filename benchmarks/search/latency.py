"""The sentence of the title, end to end: time, genre, mood, and the same through FAISS."""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import seqrec
from seqrec.builders.text_search import build_text_search
from seqrec.data.prepared import PreparedData
from seqrec.jobs.list_requests import serve_model
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.request_batches import ListRequest

SENTENCE = "something light and funny for a Tuesday evening"
COMEDY = "a light and funny comedy for a Tuesday evening"
SAD = ("sad", "depressing", "tragedy", "tear jerker", "melancholic", "bleak", "downbeat")
NUM_TIMED = 200
NUM_HISTORIES = 50


def measure_latency(run: Recommender, prepared: PreparedData, words: Path) -> None:
    """Print percentiles of the time on one core, and what the lists hold."""
    torch.set_num_threads(1)
    ids = prepared.items()["item_id"].to_list()
    histories = prepared.histories()
    asked = [
        ListRequest([ids[item] for item in histories.items[start:end][-200:]], 10)
        for start, end in zip(
            histories.offsets[:NUM_HISTORIES].tolist(),
            histories.offsets[1 : NUM_HISTORIES + 1].tolist(),
            strict=True,
        )
    ]
    folder = run.folder
    assert folder is not None
    with tempfile.TemporaryDirectory() as out:
        index = Path(out) / "index"
        seqrec.export(folder, to="faiss-flat", out=index)
        exact = build_text_search(serve_model(folder, None, None, None))
        indexed = build_text_search(serve_model(folder, None, None, index / "items" / "flat"))
        exact.answer(SENTENCE, asked[0])  # loads the encoder
        seconds = []
        for number in range(NUM_TIMED):
            begun = time.perf_counter()
            exact.answer(SENTENCE, asked[number % len(asked)])
            seconds.append(time.perf_counter() - begun)
        same = [
            _list(exact, text, one) == _list(indexed, text, one)
            for text in (SENTENCE, COMEDY)
            for one in asked
        ]
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1e3
    print(f"{SENTENCE!r}: p50 {p50:.1f} ms, p95 {p95:.1f} ms on one core, {NUM_TIMED} requests")
    print(f"lists through FAISS equal exact ones: {sum(same)} of {len(same)}")
    lines = (json.loads(line) for line in (words / "tags-seen.jsonl").read_text().splitlines())
    is_sad = {line["item_id"] for line in lines if set(line["tags"]) & set(SAD)}
    genres = dict(zip(ids, prepared.items()["genres"].to_list(), strict=True))
    for text in (SENTENCE, COMEDY):
        lists = [_list(exact, text, one) for one in asked]
        comedies = [sum("Comedy" in genres[item] for item in one) for one in lists]
        sad = [len(is_sad & set(one)) for one in lists]
        print(
            f"{text!r}: comedies of ten {np.mean(comedies):.2f} (least {min(comedies)}), "
            f"sad by people's tags {np.mean(sad):.2f} (most {max(sad)}), {len(lists)} histories",
            flush=True,
        )


def _list(search, text: str, asked: ListRequest) -> list[str]:
    return [row["item_id"] for row in search.answer(text, asked)["recommendations"]]
