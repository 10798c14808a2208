"""From a distillation recipe to objects: teachers or their cached answers, and what both cost."""

import statistics
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seqrec.config.objective import DistillationConfig, DivergenceConfig
from seqrec.config.recipe import Recipe
from seqrec.data.answer_cache import KIND, read_answers, read_header
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.jobs.learning import Learning
from seqrec.jobs.models import (
    check_targets_are_unread,
    open_reader_of_titles,
    open_recommender,
)
from seqrec.jobs.sft import build_stream
from seqrec.losses.divergence import catalog_divergence
from seqrec.models import SeqRecForNextItem
from seqrec.models.saving import folder_fingerprint
from seqrec.rankers import Ranker
from seqrec.recommender import Recommender, model_folder
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.tokens.windows import WindowKind
from seqrec.training.distillation import (
    CacheReader,
    Continuation,
    Divergence,
    Teachers,
    distillation_loss,
    kept_answers_loss,
)
from seqrec.training.loaders import PackedLoader

TEACHERS_KEY = "objective.teachers"
CACHE_KEY = "objective.cache"
BATCH = 256
NUM_TURNS = 3
NUM_SINGLE = 100
LIST_LENGTH = 10


def build_distillation(
    recipe: Recipe, prepared: PreparedData, tokens: ItemTokens, rank: int
) -> Learning:
    """Everything beside the student that a distillation recipe names.

    Raises:
        SeqRecError: teachers of another catalog or tokenizer, or that read less than the student;
            a cache made of something else, or by others.
    """
    config = recipe.objective
    assert isinstance(config, DistillationConfig)
    if config.cache is not None:
        return _from_cache(recipe, config, prepared, tokens, rank)
    if not config.teachers:
        raise SeqRecError(f"{TEACHERS_KEY}: none; name runs or model folders, or {CACHE_KEY}")
    teachers = open_teachers(
        config.teachers,
        prepared,
        tokens=tokens,
        max_length=recipe.data.max_length,
        windows=recipe.data.windows,
    )
    stream = build_stream(recipe, prepared, tokens, rank)
    continuation = None
    if config.on_policy is not None:
        if config.on_policy.num_titles >= recipe.data.max_length:
            raise SeqRecError("objective.on_policy.num_titles: fewer than data.max_length")
        for path, teacher in zip(config.teachers, teachers, strict=True):
            if not teacher.model.config.causal:
                raise SeqRecError(
                    f"{TEACHERS_KEY} {path}: reads what stands after a title, too (model.causal "
                    "false): with objective.on_policy it would read what stood there before; name "
                    "another"
                )
        continuation = Continuation(**config.on_policy.model_dump())
    objective = partial(
        distillation_loss,
        teachers=Teachers([teacher.model for teacher in teachers]),
        divergence=build_divergence(config.loss),
        sft_share=config.sft_share,
        state_share=config.state_share,
        continuation=continuation,
    )
    return Learning(
        PackedLoader(stream),
        objective,
        stream.item_counts,
        num_scored=prepared.num_items,
        memory_strength=mean_strength(teachers),
    )


def _from_cache(
    recipe: Recipe,
    config: DistillationConfig,
    prepared: PreparedData,
    tokens: ItemTokens,
    rank: int,
) -> Learning:
    folder = Path(str(config.cache))
    answers = read_answers(folder, made_of(recipe, prepared))
    stream = build_stream(recipe, prepared, tokens, rank, has_sources=True)
    reader = CacheReader(answers, int(stream.blocks.num_rows.sum()), config.cache_rest)
    objective = partial(kept_answers_loss, answers=reader, sft_share=config.sft_share)
    return Learning(
        PackedLoader(stream),
        objective,
        stream.item_counts,
        num_scored=prepared.num_items,
        facts={"cache": {"places": len(answers.rows), "k": answers.items.shape[1]}},
        memory_strength=read_header(folder).get("memory_strength"),
    )


def check_cache_knows(model: SeqRecForNextItem, config: DistillationConfig) -> None:
    """Refuse a student who leaves out titles that a cache's answers do not."""
    num_left_out = model.config.num_items - model.num_learned
    if config.cache is not None and num_left_out:
        raise SeqRecError(
            f"{CACHE_KEY}: a student with content does not learn the {num_left_out} titles that "
            f"training never meets, which the answers count; name live teachers ({TEACHERS_KEY})"
        )


def made_of(recipe: Recipe, prepared: PreparedData) -> dict[str, Any]:
    """What a cache that the recipe's batches ask must have been made of; by whom, if it says so."""
    config = recipe.objective
    assert isinstance(config, DistillationConfig)
    by_whom = {"teachers": fingerprints(config.teachers)} if config.teachers else {}
    return {
        "kind": KIND,
        **by_whom,
        "catalog_fingerprint": prepared.catalog_fingerprint,
        "data_fingerprint": prepared.fingerprint,
        "max_length": recipe.data.max_length,
        "windows": recipe.data.windows,
        "stride": recipe.data.stride,
    }


def fingerprints(teachers: Sequence[str | Path], key: str = TEACHERS_KEY) -> list[str]:
    """Of all teachers, in one order: a mean has none."""
    return sorted(folder_fingerprint(model_folder(path, key)) for path in teachers)


def mean_strength(teachers: Sequence[Recommender]) -> float | None:
    """What the teachers' memories count, on average; None if they have none.

    A student whose memory counts as much has to learn what the teachers' decoders know, not what
    its memory will tell it anyway.
    """
    memories = [teacher.model.memory for teacher in teachers]
    strengths = [memory.strength if memory is not None else 0.0 for memory in memories]
    return statistics.fmean(strengths) or None


def build_divergence(config: DivergenceConfig) -> Divergence:
    """The divergence that the settings name."""
    settings = config.model_dump(exclude={"name"})
    return partial(catalog_divergence, kind=config.name, **settings)


def open_teachers(
    paths: Sequence[str | Path],
    prepared: PreparedData,
    *,
    tokens: ItemTokens | None = None,
    max_length: int = 1,
    windows: WindowKind = "prefixes",
    key: str = TEACHERS_KEY,
) -> list[Recommender]:
    """The teachers of the data's catalog, who read the same tokens: the student's, if given.

    Raises:
        SeqRecError: no such model, another catalog or tokenizer, one that reads fewer items, or
            that would read the targets in such windows.
    """
    teachers = [
        open_reader_of_titles(model_folder(path, key), prepared, "distillation") for path in paths
    ]
    for path, teacher in zip(paths, teachers, strict=True):
        longest = teacher.model.config.max_length
        if teacher.tokens != (tokens or teachers[0].tokens):
            whose = "seqrec makes of the data" if tokens else f"{paths[0]}"
            raise SeqRecError(f"{key} {path}: has another tokenizer than {whose}")
        check_targets_are_unread(teacher.model, windows, f"{key} {path}")
        if longest < max_length:
            raise SeqRecError(
                f"{key} {path}: reads {longest} items of a history, fewer than {max_length} "
                "(data.max_length)"
            )
    return teachers


def serving_costs(
    recipe: Recipe, student: Ranker, folder: Path, prepared: PreparedData, histories: Sequence[Any]
) -> dict[str, Any]:
    """What the student and its teachers take on disk, and how fast they answer side by side.

    A cache's teachers are asked where the recipe names them; without histories nobody is timed.

    Args:
        recipe: which says who the teachers are.
        student: with its trained weights.
        folder: its model folder.
        prepared: the data.
        histories: to answer.
    """
    config = recipe.objective
    assert isinstance(config, DistillationConfig)
    named: dict[str, tuple[Any, Path]] = {"student": (student, folder)}
    for path in config.teachers:
        found = model_folder(path, TEACHERS_KEY)
        name = str(path) if str(path) != "student" else f"./{path}"
        named[name] = (open_recommender(found, prepared), found)
    costs: dict[str, dict[str, float]] = {
        name: {
            "megabytes": round(_size(path) / 1e6, 2),
            "parameters": ranker.model.num_parameters(),
            "non_embedding_parameters": non_embedding_parameters(ranker.model),
        }
        for name, (ranker, path) in named.items()
    }
    if len(histories):
        rankers = {name: ranker for name, (ranker, _) in named.items()}
        for name, speeds in _speeds(rankers, histories).items():
            costs[name] |= speeds
    return {"serving": costs}


def _speeds(rankers: dict[str, Ranker], histories: Sequence[Any]) -> dict[str, dict[str, float]]:
    """How fast each answers a batch and a single history, in turns, so that all meet one load."""
    times: dict[str, list[float]] = {name: [] for name in rankers}
    single: dict[str, list[float]] = {name: [] for name in rankers}
    batch = [histories[number % len(histories)] for number in range(BATCH)]
    for _ in range(1 + NUM_TURNS):  # the first warms up
        for name, ranker in rankers.items():
            times[name].append(_seconds(ranker, batch))
    for number in range(NUM_SINGLE):
        for name, ranker in rankers.items():
            single[name].append(_seconds(ranker, batch[number : number + 1]))
    return {
        name: {
            f"histories_per_second_batch_{BATCH}": round(
                BATCH / statistics.median(times[name][1:]), 1
            ),
            "p50_ms": round(1000 * float(np.percentile(single[name], 50)), 2),
            "p99_ms": round(1000 * float(np.percentile(single[name], 99)), 2),
        }
        for name in rankers
    }


def _seconds(ranker: Ranker, histories: Any) -> float:
    started = time.perf_counter()
    ranker.rank(histories, LIST_LENGTH)
    return time.perf_counter() - started


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def non_embedding_parameters(model: SeqRecForNextItem) -> int:
    """A model's parameters without its vectors of tokens and items, every member's among them."""
    tables: list[Any] = [model.get_input_embeddings().weight, *model.head.parameters()]
    return model.num_parameters() - sum(table.numel() for table in tables)
