"""From a distillation recipe to objects: teachers or their cached answers, and what both cost."""

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from seqrec.builders.named_models import (
    check_targets_are_unread,
    open_reader_of_titles,
)
from seqrec.config.objective import DistillationConfig, DivergenceConfig
from seqrec.config.recipe import Recipe
from seqrec.data.caches.teacher import KIND, read_header, read_teacher_cache
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.losses.divergence import catalog_divergence
from seqrec.models import SeqRecForNextItem
from seqrec.models.folder import folder_fingerprint, model_folder
from seqrec.objectives.interface import Learning
from seqrec.objectives.sft import build_stream
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.streams.windows import WindowKind
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.training.loaders import PackedLoader
from seqrec.training.steps.distillation import (
    CacheReader,
    Continuation,
    Divergence,
    Teachers,
    distillation_loss,
    kept_answers_loss,
)

TEACHERS_KEY = "objective.teachers"
CACHE_KEY = "objective.cache"


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
        if config.on_policy.num_items >= recipe.data.max_length:
            raise SeqRecError("objective.on_policy.num_items: fewer than data.max_length")
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
        prior_strength=mean_strength(teachers),
    )


def _from_cache(
    recipe: Recipe,
    config: DistillationConfig,
    prepared: PreparedData,
    tokens: ItemTokens,
    rank: int,
) -> Learning:
    folder = Path(str(config.cache))
    answers = read_teacher_cache(folder, made_of(recipe, prepared))
    stream = build_stream(recipe, prepared, tokens, rank, has_sources=True)
    reader = CacheReader(answers, int(stream.blocks.num_rows.sum()), config.use_tail_mass)
    objective = partial(kept_answers_loss, answers=reader, sft_share=config.sft_share)
    return Learning(
        PackedLoader(stream),
        objective,
        stream.item_counts,
        num_scored=prepared.num_items,
        facts={"cache": {"places": len(answers.rows), "k": answers.items.shape[1]}},
        prior_strength=read_header(folder).get("prior_strength"),
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
    """What the teachers' priors count, on average; None if they have none.

    A student whose memory counts as much has to learn what the teachers' decoders know, not what
    its memory will tell it anyway.
    """
    priors = [teacher.model.transition_prior for teacher in teachers]
    strengths = [prior.strength if prior is not None else 0.0 for prior in priors]
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
