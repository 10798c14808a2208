"""Search: next items that a request in words describes, read as one token after the history."""

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
from seqrec.evaluation.significance import bootstrap_interval
from seqrec.models import SeqRecForNextItem
from seqrec.models.content import add_content
from seqrec.models.native.decoder import SeqRecDecoder
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
from seqrec.training.validation import query_metrics

MAX_ASKED = 2_000
"""Validation queries that are judged with a request after every epoch."""
NUM_EXAMPLES = 10
WITHOUT_REQUEST = ("recall@10", "ndcg@10")
INTERVAL_SEED = 0


class SearchObjective(NextItemObjective):
    """Trains a decoder to read requests; histories without one are trained on as before."""

    before_training: dict[str, Float[np.ndarray, " Q"]] | None = None
    """Metrics of the start without a request, of every validation query."""

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
            extra_metrics=build_request_metrics(prepared, data, start.tokens, recipe.trainer.seed),
            details={"requests": counts},
            notices=(f"{len(texts):,} synthesised requests, such as {examples}",),
        )

    def before(self) -> None:
        """Judge the start without requests, to which the trained model is compared."""
        if self.recipe.model.from_pretrained is None or not self.validation.num_queries:
            return
        self.module.model.eval()
        self.before_training = query_metrics(self.module.ranker, self.validation, self.module.ks)
        self.module.model.train()

    def after(self, folder: Path, fit: FitResult) -> RunOutcome:
        outcome = super().after(folder, fit)
        if self.before_training is None:
            return outcome
        after = query_metrics(self.module.ranker, self.validation, self.module.ks)
        compared = {key: compare(self.before_training[key], after[key]) for key in WITHOUT_REQUEST}
        return outcome._replace(details={**outcome.details, "without_request": compared})

    def measure(self, folder: Path) -> dict[str, Any]:
        return {}


def get_config(recipe: Recipe) -> SearchConfig:
    """Return the objective block, which must be that of search."""
    assert recipe.objective.name == "search"
    return recipe.objective


def compare(
    before: Float[np.ndarray, " Q"], after: Float[np.ndarray, " Q"]
) -> dict[str, float | list[float]]:
    """Return both means, and the paired 95 % interval of their difference over queries."""
    interval = bootstrap_interval(after - before, seed=INTERVAL_SEED)
    return {
        "before": float(before.mean()),
        "after": float(after.mean()),
        "difference_interval": list(interval),
    }


def check_decoder(model: SeqRecForNextItem, name: str) -> None:
    """Refuse a decoder that cannot read a request as a further token.

    Raises:
        SeqRecError: the reason.
    """
    decoder = model.backbone
    if not isinstance(decoder, SeqRecDecoder):
        raise SeqRecError(
            f"{name}: objective search trains a native decoder of one member; name such a model"
        )
    if decoder.config.relative_bias or not model.config.causal:
        raise SeqRecError(
            f"{name}: objective search needs model.causal true and model.relative_bias false: a "
            "request stands outside the order of the items"
        )
    if decoder.config.time_bias is not None:
        raise SeqRecError(f"{name}: reads times, which objective search does not")


def prepare_model(model: SeqRecForNextItem, *, config: SearchConfig, data: RequestData) -> None:
    """Give a model the query token, and its items content, as far as it has none.

    Raises:
        SeqRecError: its decoder reads no requests, or its query token has another encoder.
    """
    check_decoder(model, "model")
    settings = data.encoder.describe(config.encoder)
    if model.config.query_token is None:
        model.add_query_token(settings)
    elif model.config.query_token["fingerprint"] != settings["fingerprint"]:
        raise SeqRecError(
            f"objective.encoder {config.encoder}: the query token of {START_KEY} was trained with "
            f"{model.config.query_token['encoder']}; name that"
        )
    if config.content and model.config.content is None:
        if model.config.head != "tied" or data.item_vectors is None:
            raise SeqRecError(
                "objective.content: needs model.head tied and items with words; set it to false"
            )
        add_content(model, torch.from_numpy(data.item_vectors))


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
