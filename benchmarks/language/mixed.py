"""SmolLM2 with a catalog head on texts that name items: lists from words, from items, from both.

It learns from synthesised requests for the next items of 1,000 users of MovieLens-1M, and from
their histories. It is judged by such requests in other wordings, and by what people said in
conversations, of which it saw none.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

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
from benchmarks.language.judged_requests import (
    count_items,
    encode_items,
    metric_rows,
    open_encoder,
)
from benchmarks.language.texts import BACKBONE, RANK
from benchmarks.quality.table import seqrec
from benchmarks.search.asked import Asked
from benchmarks.search.judged import Metrics, cross_fit, judge
from benchmarks.search.systems import WEIGHTS, score_history
from seqrec.builders.text_search import ENCODER
from seqrec.data.prepared import PreparedData
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.served import Reading

NAME = Path(__file__).stem
MODULE = "benchmarks.language"
NUM_CHATS, NUM_REQUESTS = 2400, 200
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
    seconds = train(file, data, native, run)
    asked = {
        "turns of conversations": conversations.ask_people(prepared).first(num_requests),
        "synthesised requests": conversations.ask_synthesised(
            prepared, catalog, num_requests, SEED
        ),
    }
    for kind, requests in asked.items():
        work = f"ml-1m, {NUM_USERS:,} users, {len(requests)} {kind}"
        for system, metrics in judge_all(folder, kind, requests, catalog, (native, run)):
            yield from metric_rows(NAME, work, system, metrics, requests, METRICS)
    note = f"{num_chats:,} chats and histories, one pass, LoRA of rank {RANK}"
    yield row(
        *(NAME, "training on texts and items", [seconds], "s"),
        system="SmolLM2-135M, both heads",
        note=note,
        module=MODULE,
    )


def train(chats: Path, data: Path, native: Path, run: Path) -> float:
    """Train once, going on with what was begun, and return the seconds."""
    if not run.exists():
        is_begun = run.with_name(f"{run.name}.partial").exists()
        seqrec(
            *("train", "mixed-sft", "--data", str(chats), "--out", str(run)),
            *(["--resume"] if is_begun else []),
            *(f"data.catalog={data}", f"model.initial_vectors_of={native}", *SETTINGS),
        )
    return json.loads((run / "metrics.json").read_text())["costs"]["train_seconds"]


def judge_all(
    folder: Path,
    kind: str,
    asked: Asked,
    catalog: conversations.Catalog,
    models: tuple[Path, Path],
) -> Iterator[tuple[str, Metrics]]:
    """Yield the metrics of every system, each of which is kept: a language model takes minutes.

    Args:
        folder: of what is kept.
        kind: of the requests.
        asked: the requests.
        catalog: the items.
        models: the native model, and the one with both heads.
    """
    floor, model = (cache(lambda path=path: Recommender.from_pretrained(path)) for path in models)
    cosines = cache(lambda: compare_texts(asked, catalog))

    def fuse() -> Metrics:
        history, texts = score_history(floor(), asked), cosines()
        return cross_fit(WEIGHTS, lambda weight: history + weight * texts, asked, "recall@10")[0]

    computed: dict[str, Callable[[], Metrics]] = {
        "popularity": lambda: judge(count_items(floor(), asked), asked),
        "native model, history alone": lambda: judge(score_history(floor(), asked), asked),
        f"{ENCODER}, text alone": lambda: judge(cosines(), asked),
        "both of these, added": fuse,
        "SmolLM2-135M, text alone": lambda: judge(score_requests(model(), asked, False), asked),
        "SmolLM2-135M, history alone": lambda: judge(score_history(model(), asked), asked),
        "SmolLM2-135M, both": lambda: judge(score_requests(model(), asked, True), asked),
    }
    for system, compute in computed.items():
        kept = folder / f"mixed-{slug(kind)}-{slug(system)}.json"
        if not kept.exists():
            lists = {name: values.tolist() for name, values in compute().items()}
            kept.write_text(json.dumps(lists), encoding="utf-8")
        lists = json.loads(kept.read_text(encoding="utf-8"))
        yield system, {name: np.array(values) for name, values in lists.items()}


def compare_texts(asked: Asked, catalog: conversations.Catalog) -> Tensor:
    """Return the cosine of every request and the texts of all items."""
    vectors = torch.from_numpy(encode_items(catalog.items, ["title", "genres", "tags"]))
    return torch.from_numpy(open_encoder().encode(asked.texts)) @ vectors.T


@torch.inference_mode()
def score_requests(model: Recommender, asked: Asked, with_history: bool) -> Tensor:
    """Return the scores of the catalog head where the answer to every request begins.

    Products are in bfloat16, as in training: they take half the time.
    """
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
        with torch.autocast("cpu", torch.bfloat16):
            scores[rows] = served.ranker.score_tiles(histories)(0, model.num_items).float()
    return scores
