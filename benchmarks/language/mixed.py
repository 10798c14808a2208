"""SmolLM2 with a catalog head on texts that name items: lists from words, from items, from both.

It learns from synthesised requests for the next items of 1,000 users of MovieLens-1M, and from
their histories. It is judged by such requests in other wordings, and by what people said in
conversations, of which it saw none.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.engine.machine import ROOT
from benchmarks.engine.measure import Failed
from benchmarks.engine.prepared import FOLDER
from benchmarks.engine.rows import Row, row
from benchmarks.language import conversations
from benchmarks.language.items import (
    NATIVE,
    NUM_USERS,
    SEED,
    prepared_users,
    slug,
    systems,
    trained,
)
from benchmarks.language.texts import BACKBONE, RANK
from benchmarks.search.asked import Asked
from benchmarks.search.judged import Metrics, cross_fit, judge
from benchmarks.search.systems import WEIGHTS, score_history
from seqrec.builders.text_search import ENCODER
from seqrec.data.item_columns import item_texts
from seqrec.data.prepared import PreparedData
from seqrec.evaluation.significance import bootstrap_intervals
from seqrec.models.text_cache import encode_cached
from seqrec.models.text_encoder import TextEncoder
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.served import Reading

NAME = Path(__file__).stem
MODULE = "benchmarks.language"
NUM_CHATS, NUM_REQUESTS = 2400, 300
METRICS = ("recall@10", "recall@50", "mrr")
SETTINGS = (
    "data.histories_share=0.3",
    "data.history_length=30",
    "data.max_length=256",
    "data.row_length=512",
    "data.held_out_share=0.02",
    f"model.backbone={BACKBONE}",
    "model.initial_vectors=model",
    f"model.tuning={{name: lora, rank: {RANK}}}",
    "trainer.max_epochs=1",
    "trainer.accumulate_batches=2",
    "trainer.learning_rate=0.0005",
    "trainer.schedule=linear",
    "trainer.checkpoint_minutes=3",
    "trainer.sample_steps=50",
    "trainer.sample_tokens=12",
    "trainer.accelerator=cpu",
)
"""One pass; no other values were tried."""
BATCH = 16
Lists = dict[str, dict[str, list[float]]]
"""Mean and interval of metrics, by system and metric."""


def measure(quick: bool) -> Iterator[Row]:
    """Rows by kind of request, system and metric."""
    num_chats, num_requests = (40, 10) if quick else (NUM_CHATS, NUM_REQUESTS)
    folder = FOLDER / ("quick" if quick else "runs")
    data = prepared_users(50 if quick else NUM_USERS)
    runs = folder / f"items-{50 if quick else NUM_USERS}"
    runs.mkdir(parents=True, exist_ok=True)
    trained(next(one for one in systems(runs) if one.name == NATIVE), data, runs, quick)
    native, prepared = runs / slug(NATIVE), PreparedData.open(data)
    catalog = conversations.describe_catalog(prepared, SEED)
    file = folder / "mixed-chats.jsonl"
    chats = conversations.draw_chats(prepared, catalog, num_chats, SEED)
    file.write_text("".join(json.dumps(chat) + "\n" for chat in chats), encoding="utf-8")
    run = folder / "mixed"
    costs = train(file, data, native, run)
    people = conversations.ask_people(prepared).first(num_requests if quick else None)
    asked = {
        "turns of conversations": people,
        "synthesised requests": conversations.ask_synthesised(
            prepared, catalog, num_requests, SEED
        ),
    }
    for kind, requests in asked.items():
        work = f"ml-1m, {NUM_USERS:,} users, {len(requests)} {kind}"
        kept = folder / f"mixed-{slug(kind)}.json"
        if quick or not kept.exists():
            kept.write_text(json.dumps(judge_all(requests, catalog, native, run)))
        for system, figures in json.loads(kept.read_text()).items():
            for metric, (mean, low, high) in figures.items():
                note = f"95 % interval {low:.3f} to {high:.3f}"
                yield row(
                    *(NAME, f"{work}: {metric}", [mean], ""),
                    system=system,
                    note=note,
                    module=MODULE,
                )
    note = f"{num_chats:,} chats and histories, one pass, LoRA of rank {RANK}"
    for key, unit, what in (("cpu_seconds", "s", "processor time"), ("peak_mb", "MB", "memory")):
        system = "SmolLM2-135M, both heads"
        work = f"training on texts and items: {what}"
        yield row(NAME, work, [costs[key]], unit, system=system, note=note, module=MODULE)


def train(chats: Path, data: Path, native: Path, run: Path) -> dict[str, float]:
    """Train once, going on with what was begun, and return the costs of the last process."""
    kept = run.with_suffix(".json")
    if kept.exists() and run.exists():
        return json.loads(kept.read_text())
    is_begun = run.with_name(f"{run.name}.partial").exists()
    command = [sys.executable, "-m", "seqrec", "train", "mixed-sft", "--data", str(chats)]
    command += ["--out", str(run), "--resume" if is_begun else "--overwrite"]
    command += [f"data.catalog={data}", f"model.initial_vectors_of={native}"]
    process = subprocess.Popen([*command, *SETTINGS], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise Failed(f"exit code {os.waitstatus_to_exitcode(status)}")
    costs = {
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }
    kept.write_text(json.dumps(costs))
    return costs


def judge_all(asked: Asked, catalog: conversations.Catalog, native: Path, run: Path) -> Lists:
    """Return the metrics of every system, with 95 % intervals by user or conversation."""
    model, floor = (Recommender.from_pretrained(one) for one in (run, native))
    encoder = TextEncoder.from_pretrained(ENCODER)
    texts = item_texts(catalog.items, ["title", "genres", "tags"], "--data")
    vectors = torch.from_numpy(encode_cached(encoder, texts))
    cosines = torch.from_numpy(encoder.encode(asked.texts)) @ vectors.T
    counts = torch.from_numpy(floor.items["num_interactions"].to_numpy()).float()
    by_history = score_history(floor, asked)
    fused, chosen = cross_fit(
        WEIGHTS, lambda weight: by_history + weight * cosines, asked, "recall@10"
    )
    weights = "/".join(f"{weight:g}" for weight in chosen)
    found: dict[str, Metrics] = {
        "popularity": judge(counts.expand(len(asked), -1), asked),
        "native model, history alone": judge(by_history, asked),
        f"{ENCODER}, text alone": judge(cosines, asked),
        f"both of these, added (weights {weights})": fused,
        "SmolLM2-135M, text alone": judge(score_requests(model, asked, with_history=False), asked),
        "SmolLM2-135M, history alone": judge(score_history(model, asked), asked),
        "SmolLM2-135M, both": judge(score_requests(model, asked, with_history=True), asked),
    }
    return {system: summarise(metrics, asked) for system, metrics in found.items()}


@torch.inference_mode()
def score_requests(model: Recommender, asked: Asked, *, with_history: bool) -> Tensor:
    """Return the scores of the catalog head where the answer to every request begins."""
    order = sorted(range(len(asked)), key=lambda one: len(asked.texts[one]))
    scores = torch.empty(len(asked), model.num_items)
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        requests = [conversations.build_request(asked.texts[row]) for row in rows]
        given = [
            [model.item_ids[item] for item in asked.histories[row]] if with_history else []
            for row in rows
        ]
        served = model.serve_texts(requests)
        histories = served.read(given, Reading({}, plan=False)).histories
        scores[rows] = served.ranker.score_tiles(histories)(0, model.num_items).float()
    return scores


def summarise(metrics: Mapping[str, np.ndarray], asked: Asked) -> dict[str, list[float]]:
    """Return mean, lower and upper end of the interval of every metric."""
    values = np.column_stack([metrics[name] for name in METRICS])
    bounds = bootstrap_intervals(values, users=asked.groups, num_draws=2_000, seed=SEED)
    return {
        name: [float(values[:, place].mean()), *map(float, bounds[place])]
        for place, name in enumerate(METRICS)
    }
