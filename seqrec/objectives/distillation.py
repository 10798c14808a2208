"""Distillation: a student learns from live teachers or from a cache of their distributions."""

from functools import partial
from pathlib import Path
from typing import Any

from seqrec.builders.named_models import check_reads_items, check_targets_are_unread
from seqrec.builders.pretrained import START_KEY
from seqrec.builders.streams import build_stream
from seqrec.builders.teachers import (
    TEACHERS_KEY,
    check_reads_forwards,
    fingerprints,
    mean_strength,
    open_teachers,
)
from seqrec.config.objective import DistillationConfig, DivergenceConfig
from seqrec.config.recipe import Recipe
from seqrec.data.caches.teacher import KIND, read_header, read_teacher_cache
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.losses.divergence import catalog_divergence
from seqrec.losses.top_k_divergence import top_k_divergence
from seqrec.models import SeqRecForNextItem
from seqrec.models.folder import model_folder
from seqrec.models.weights import folder_fingerprint
from seqrec.objectives.next_item import NextItemObjective, TrainingSetup
from seqrec.objectives.serving_costs import serving_costs
from seqrec.objectives.start import Start
from seqrec.ranking.recommender import Recommender
from seqrec.training.loaders import PackedLoader
from seqrec.training.module import BatchLoss
from seqrec.training.steps.cached_distillation import CacheReader, top_k_loss
from seqrec.training.steps.distillation import Continuation, Divergence, Teachers, distillation_loss

CACHE_KEY = "objective.cache"


class DistillationObjective(NextItemObjective):
    """Trains a student on the teachers' distributions over the catalog."""

    @classmethod
    def get_sources(cls, recipe: Recipe) -> dict[str, Any]:
        config = get_config(recipe)
        sources: dict[str, Any] = {
            f"fingerprint_of {path}": folder_fingerprint(model_folder(path, TEACHERS_KEY))
            for path in config.teachers
        }
        if config.cache is not None:
            sources["cache"] = read_header(Path(config.cache))
        return sources

    @classmethod
    def check_start(cls, recipe: Recipe, start: Recommender) -> None:
        path = str(recipe.model.from_pretrained)
        check_reads_items(start, path, "objective distillation")
        check_targets_are_unread(start.model, recipe.data.windows, f"{START_KEY} {path}")
        if recipe.objective.continues_histories and not start.model.config.causal:
            raise SeqRecError(
                f"objective.on_policy: {START_KEY} {path}: also reads the items after a position; "
                "name a model that reads earlier items only, or remove on_policy"
            )

    @classmethod
    def build_setup(
        cls, recipe: Recipe, prepared: PreparedData, start: Start, rank: int
    ) -> TrainingSetup:
        config = get_config(recipe)
        if config.cache is not None:
            return _build_from_cache(recipe, config, prepared, start, rank)
        if not config.teachers:
            raise SeqRecError(f"{TEACHERS_KEY}: none; name runs or model folders, or {CACHE_KEY}")
        teachers = open_teachers(
            config.teachers,
            prepared,
            tokens=start.tokens,
            max_length=recipe.data.max_length,
            windows=recipe.data.windows,
        )
        stream = build_stream(recipe, prepared, start.tokens, rank)
        if config.on_policy is not None:
            if config.on_policy.num_items >= recipe.data.max_length:
                raise SeqRecError(
                    "objective.on_policy.num_items: must be below data.max_length; lower it"
                )
            check_reads_forwards(config.teachers, teachers)
        return TrainingSetup(
            PackedLoader(stream),
            build_batch_loss(config, Teachers([teacher.model for teacher in teachers])),
            stream.item_counts,
            prepared.num_items,
            fits_cold_items=True,
            prior_strength=mean_strength(teachers),
        )

    def measure(self, folder: Path) -> dict[str, Any]:
        """Measure the serving costs of student and teachers."""
        blocks = (queries.histories for queries in self.validation)
        histories = next((block for block in blocks if len(block)), [])
        teachers = get_config(self.recipe).teachers
        return {
            "serving": serving_costs(teachers, self.module.ranker, folder, self.prepared, histories)
        }


def get_config(recipe: Recipe) -> DistillationConfig:
    """Return the objective block, which must be that of distillation."""
    assert recipe.objective.name == "distillation"
    return recipe.objective


def build_batch_loss(config: DistillationConfig, teachers: Teachers) -> BatchLoss:
    """Bind the loss of a batch under live teachers to its settings."""
    continuation = None
    if config.on_policy is not None:
        continuation = Continuation(**config.on_policy.model_dump())
    return partial(
        distillation_loss,
        teachers=teachers,
        divergence=build_divergence(config.loss),
        sft_share=config.sft_share,
        state_share=config.state_share,
        continuation=continuation,
    )


def build_divergence(config: DivergenceConfig) -> Divergence:
    """Bind the divergence that the settings name."""
    settings = config.model_dump(exclude={"name"})
    return partial(catalog_divergence, kind=config.name, **settings)


def _build_from_cache(
    recipe: Recipe, config: DistillationConfig, prepared: PreparedData, start: Start, rank: int
) -> TrainingSetup:
    """Build batches and loss from a cache of the teachers' distributions."""
    folder = Path(str(config.cache))
    cached = read_teacher_cache(folder, expected_header(recipe, prepared))
    if cached.items.max(initial=0) >= prepared.num_items:
        raise SeqRecError(f"{CACHE_KEY}={folder}: holds items outside the catalog; write it again")
    stream = build_stream(recipe, prepared, start.tokens, rank, has_sources=True)
    reader = CacheReader(cached, int(stream.blocks.num_rows.sum()), config.use_tail_mass)
    return TrainingSetup(
        PackedLoader(stream),
        partial(
            top_k_loss,
            reader=reader,
            divergence=top_k_divergence,
            sft_share=config.sft_share,
        ),
        stream.item_counts,
        prepared.num_items,
        fits_cold_items=True,
        prior_strength=read_header(folder).get("prior_strength"),
        check_model=check_learns_all_items,
        details={"cache": {"positions": len(cached.rows), "k": cached.items.shape[1]}},
    )


def check_learns_all_items(model: SeqRecForNextItem) -> None:
    """Refuse a student that excludes items of the cached distributions.

    Raises:
        SeqRecError: the student has content, and the log lacks some items.
    """
    num_excluded = model.config.num_items - model.num_learned
    if num_excluded:
        raise SeqRecError(
            f"{CACHE_KEY}: a student with content does not learn the {num_excluded} items "
            f"without training interactions, which the cache includes; name live teachers "
            f"({TEACHERS_KEY})"
        )


def expected_header(recipe: Recipe, prepared: PreparedData) -> dict[str, Any]:
    """Return the header that a cache must have for the recipe's batches.

    It includes the teachers if the recipe names them beside the cache.
    """
    teachers = get_config(recipe).teachers
    return {
        "kind": KIND,
        **({"teachers": fingerprints(teachers)} if teachers else {}),
        "catalog_fingerprint": prepared.catalog_fingerprint,
        "data_fingerprint": prepared.fingerprint,
        "max_length": recipe.data.max_length,
        "windows": recipe.data.windows,
        "stride": recipe.data.stride,
    }
