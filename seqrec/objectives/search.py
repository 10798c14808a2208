"""Search: next items that a request in words describes, read by one token after the history."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from seqrec.builders.named_models import check_reads_items, check_targets_are_unread
from seqrec.builders.pretrained import START_KEY
from seqrec.builders.requests import RequestData, build_requests
from seqrec.builders.streams import build_stream
from seqrec.config.recipe import Recipe
from seqrec.config.search_objective import SearchConfig
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import build_queries
from seqrec.models import SeqRecForNextItem
from seqrec.objectives.interface import RunOutcome
from seqrec.objectives.next_item import NextItemObjective, TrainingSetup
from seqrec.objectives.start import Start
from seqrec.ranking.model_ranker import ModelRanker
from seqrec.ranking.recommender import Recommender
from seqrec.search.requests.synthesis import RequestTable
from seqrec.tokens.tokenizer import ItemTokens
from seqrec.training.fit import FitResult
from seqrec.training.loaders import PackedLoader
from seqrec.training.steps.search import AskedQueries, RequestMetrics, RequestVectors, search_loss

MAX_ASKED = 2_000
"""Validation queries that are judged with a request after every epoch."""
NUM_EXAMPLES = 10


class SearchObjective(NextItemObjective):
    """Trains a query token beside a trained model, whose own weights stay as they are."""

    late_fusion: dict[str, float] = {}
    """Metrics of requests before training, when the scores are those of late fusion."""

    @classmethod
    def get_sources(cls, recipe: Recipe) -> dict[str, Any]:
        return {}

    @classmethod
    def check_start(cls, recipe: Recipe, start: Recommender) -> None:
        path = f"{START_KEY} {recipe.model.from_pretrained}"
        check_reads_items(start, path, "objective search")
        check_targets_are_unread(start.model, recipe.data.windows, path)
        check_decoder(start.model, path)

    @classmethod
    def build_setup(
        cls, recipe: Recipe, prepared: PreparedData, start: Start, rank: int
    ) -> TrainingSetup:
        if start.trained is None:
            raise SeqRecError(
                f"{START_KEY}: objective search teaches a trained model to read requests; name the "
                "run of one"
            )
        config = get_config(recipe)
        data = build_requests(config, prepared, recipe.trainer.seed)
        stream = build_stream(recipe, prepared, start.tokens, rank)
        texts = data.requests.training.texts
        counts = {
            "training": len(texts),
            "new_wordings": len(data.requests.new_wordings.texts),
            "new_tags": len(data.requests.new_tags.texts),
        }
        examples = "; ".join(repr(text) for text in data.requests.examples(NUM_EXAMPLES))
        return TrainingSetup(
            PackedLoader(stream),
            partial(
                search_loss,
                requests=RequestVectors(
                    torch.from_numpy(data.vectors),
                    torch.from_numpy(data.requests.training.of_item),
                ),
                request_share=config.request_share,
                alone_share=config.alone_share,
                chunk_size=config.chunk_size,
            ),
            stream.item_counts,
            prepared.num_items,
            prepare_model=partial(prepare_model, config=config, data=data),
            finish_model=partial(load_content, content=data.content.whole),
            extra_metrics=build_request_metrics(prepared, data, start.tokens, recipe.trainer.seed),
            details={"requests": counts},
            notices=(f"{len(texts):,} synthesised requests, such as {examples}",),
        )

    def before(self) -> None:
        """Judge the requests of validation by late fusion, which training starts from."""
        if self.module.extra_metrics is not None:
            self.late_fusion = self.module.extra_metrics(self.module.model)

    def after(self, folder: Path, fit: FitResult) -> RunOutcome:
        outcome = super().after(folder, fit)
        return outcome._replace(details={**outcome.details, "late_fusion": self.late_fusion})

    def measure(self, folder: Path) -> dict[str, Any]:
        return {}


def get_config(recipe: Recipe) -> SearchConfig:
    """Return the objective block, which must be that of search."""
    assert recipe.objective.name == "search"
    return recipe.objective


def check_decoder(model: SeqRecForNextItem, name: str) -> None:
    """Refuse a language model, whose texts are read by itself.

    Raises:
        SeqRecError: it is one.
    """
    if model.has_language_model:
        raise SeqRecError(
            f"{name}: a language model, which reads requests itself (seqrec train mixed-sft); "
            "objective search trains a query token for a native decoder"
        )


def prepare_model(model: SeqRecForNextItem, *, config: SearchConfig, data: RequestData) -> None:
    """Give a model a query token, if it has none, and let nothing else learn.

    Raises:
        SeqRecError: its decoder reads no requests, or its query token has another encoder.
    """
    check_decoder(model, "model")
    settings = {**data.encoder.describe(config.encoder), "num_parts": data.content.num_parts}
    if model.config.query_token is None:
        model.add_query_token(settings)
    elif model.config.query_token != settings:
        raise SeqRecError(
            f"objective.encoder {config.encoder}: the query token of {START_KEY} was trained with "
            f"{model.config.query_token['encoder']} on {model.config.query_token['num_parts']} "
            "parts of content; name that encoder, and data with the same columns"
        )
    load_content(model, data.content.training)
    assert model.query_token is not None
    model.requires_grad_(False)
    model.query_token.requires_grad_(True)


def load_content(model: SeqRecForNextItem, content: Float[np.ndarray, "I C"]) -> None:
    """Set what requests are compared with beside the items' vectors."""
    assert model.query_token is not None
    model.query_token.content.copy_(torch.from_numpy(content))


def build_request_metrics(
    prepared: PreparedData, data: RequestData, tokens: ItemTokens, seed: int
) -> RequestMetrics | None:
    """Return the metrics of validation queries with requests; None without such queries."""
    queries = build_queries(prepared.histories(), "validation", prepared.targets)
    if not len(queries.users) or prepared.trains_on_validation:
        return None
    drawn = np.random.default_rng(seed).permutation(len(queries.users))
    tables: dict[str, RequestTable] = {
        "request": data.requests.new_wordings,
        "new_tag": data.requests.new_tags,
    }
    parts = {}
    for name, table in tables.items():
        first = np.array([queries.targets[query][0] for query in drawn], dtype=np.int64)
        chosen = table.choose(first, seed)
        kept = np.flatnonzero(chosen >= 0)[:MAX_ASKED]
        if len(kept):
            asked = queries.at(drawn[kept])
            asked.targets[:] = [target[:1] for target in asked.targets]
            rows, places = np.unique(chosen[kept], return_inverse=True)
            vectors = data.encode([table.texts[row] for row in rows.tolist()])
            parts[name] = AskedQueries(asked, vectors[places])
    return RequestMetrics(parts, partial(_build_ranker, tokens=tokens)) if parts else None


def _build_ranker(model: SeqRecForNextItem, tokens: ItemTokens) -> ModelRanker:
    return ModelRanker("validation", model, tokens)
