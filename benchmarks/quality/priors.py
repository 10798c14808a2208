"""Transition priors beside the shipped recipe's decoder, on validation.

Everything that is chosen or learned for a query was chosen or learned on the other half of them.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

from benchmarks.engine.prepared import prepared
from benchmarks.engine.rows import Row, row
from benchmarks.quality.table import MODULE, SEEDS, SHIPPED, trained
from seqrec.builders.model import build_transitions, prior_settings
from seqrec.config.transition_prior import MeanPriorConfig, ProductPriorConfig
from seqrec.data.prepared import PreparedData
from seqrec.models.transition_prior.counts import TransitionPrior
from seqrec.models.transition_prior.kinds import build_transition_prior
from seqrec.models.transition_prior.recent_items import last_items_after
from seqrec.ranking.recommender import Recommender
from seqrec.training.loaders import QueryLoader

NAME = Path(__file__).stem
PRODUCTS: dict[str, dict[str, Any]] = {
    "ml-1m": {},
    "beauty": {
        "max_steps": 10,
        "distance_exponent": 0.5,
        "smoothing": 11_250,
        "recent_items": 200,
        "popularity_penalty": 0.04,
    },
}
"""The published settings of the product."""
STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.3, 1.6, 2.0, 3.0, 4.0, 6.0)
MAX_QUERIES = 7_000
PARTS = 4
"""Parts of the histories, by length or by the decoder's entropy, with a strength each."""
STEPS = 20
"""Last items with a learned weight each; older ones share a weight."""
EPOCHS, BATCH, RATE = 8, 64, 0.05
K = 10

Scores = Float[Tensor, "Q I"]


class Scored(NamedTuple):
    """Queries, and the scores of every system for them."""

    histories: Sequence[Int[np.ndarray, " T"]]
    targets: Int[Tensor, " Q"]
    is_seen: Bool[Tensor, "Q I"]
    counts: Int[Tensor, " I"]
    """Training interactions of every item."""
    decoder: Scores
    mean: Scores
    product: Scores
    edges: csr_matrix
    """The product's logarithm of every transition."""

    def judge(self, scores: Scores) -> Float[np.ndarray, " Q"]:
        """Return the NDCG@10 of every query; a target that was seen is a miss."""
        rows = torch.arange(len(self.targets))
        own = scores[rows, self.targets]
        rank = ((scores > own[:, None]) & ~self.is_seen).sum(dim=1)
        is_hit = (rank < K) & ~self.is_seen[rows, self.targets]
        return torch.where(is_hit, 1 / torch.log2(rank + 2.0), 0.0).numpy()


def measure(quick: bool) -> Iterator[Row]:
    """A row a combination, and rows on whose targets which system finds."""
    for data in list(PRODUCTS)[: 1 if quick else None]:
        folder, name = prepared(data), f"{data}-{SHIPPED}"
        run = trained(SHIPPED, folder, quick=quick, name=name, seeds=SEEDS[:1])
        scored = score(run / f"seed-{SEEDS[0]}", folder, PRODUCTS[data])
        base = None
        for system, values in combine(scored):
            figure = float(values.mean())
            base = base or figure
            yield row(
                NAME,
                f"{data}, validation ndcg@10",
                [figure],
                "",
                system=system,
                ratio=figure / base,
                module=MODULE,
            )
        yield from find_wins(data, scored)


def score(run: Path, folder: Path, settings: dict[str, Any]) -> Scored:
    """Score validation queries by the decoder of a run, and by each prior."""
    data, recommender = PreparedData.open(folder), Recommender.from_pretrained(run / "model")
    if recommender.model.transition_prior is not None:
        recommender.model.transition_prior.strength = 0.0
    loader = QueryLoader(data.blocks(), data.targets, memory_rows=2_000_000)
    parts = list(loader.iterate_all())
    histories = [history for queries in parts for history in queries.histories]
    targets = torch.tensor([int(one[0]) for queries in parts for one in queries.targets])
    step = -(-len(histories) // MAX_QUERIES)
    histories, targets = histories[::step], targets[::step]
    seen = torch.zeros(len(histories), data.num_items, dtype=torch.bool)
    for number, history in enumerate(histories):
        seen[number, torch.from_numpy(np.asarray(history, dtype=np.int64))] = True
    decoder = torch.cat(
        [
            recommender.score_tiles(histories[start : start + BATCH])(0, data.num_items)
            for start in range(0, len(histories), BATCH)
        ]
    ).log_softmax(dim=1)
    counts = torch.from_numpy(data.histories().item_counts(data.num_items))
    mean, _ = build_prior(MeanPriorConfig(), data, counts)
    product_prior, edges = build_prior(ProductPriorConfig(name="product", **settings), data, counts)
    priors = [score_by(prior, histories) for prior in (mean, product_prior)]
    return Scored(histories, targets, seen, counts, decoder, *priors, edges)


def build_prior(
    config: MeanPriorConfig | ProductPriorConfig, data: PreparedData, counts: Int[Tensor, " I"]
) -> tuple[TransitionPrior, csr_matrix]:
    """A prior of strength 1, and its edges as a matrix."""
    settings = prior_settings(config, num_edges=0)
    empty = build_transition_prior(data.num_items, settings)
    found = build_transitions(data, empty.distance_weights, None)
    settings |= {"num_edges": len(found.target), "strength": 1.0}
    prior = build_transition_prior(data.num_items, settings)
    prior.load_transitions(*map(torch.from_numpy, found), counts)  # type: ignore[call-arg]
    values = prior.edge_values(prior.weight).numpy()
    size = data.num_items
    edges = csr_matrix((values, prior.target.numpy(), prior.first_edge.numpy()), (size, size))
    return prior, edges


def score_by(prior: TransitionPrior, histories: Sequence[Int[np.ndarray, " T"]]) -> Scores:
    """The scores of a prior after histories."""
    last, size = last_items_after(histories, prior.num_recent), len(prior.leaving)
    starts = range(0, len(last), BATCH)
    return torch.cat([prior.logits(last[start : start + BATCH], 0, size) for start in starts])


def combine(scored: Scored) -> Iterator[tuple[str, Float[np.ndarray, " Q"]]]:
    """The cross-fitted NDCG@10 of every query, by system."""
    decoder, mean, of_product = scored.decoder, scored.mean, scored.product
    whole = np.zeros(len(decoder), dtype=int)
    yield "the decoder", scored.judge(decoder)
    yield "the mean alone", scored.judge(mean)
    yield "the product alone", scored.judge(of_product)
    by_mean = np.stack([scored.judge(decoder + one * mean) for one in STRENGTHS])
    yield "with the mean", choose(by_mean, whole)
    by_product = [scored.judge(decoder + one * of_product) for one in STRENGTHS]
    yield "with the product", choose(np.stack(by_product), whole)
    both = product(STRENGTHS[2:9:2], STRENGTHS[3:12:2])
    by_both = [scored.judge(decoder + one * mean + other * of_product) for one, other in both]
    yield "with both", choose(np.stack(by_both), whole)
    lengths = np.array([len(history) for history in scored.histories])
    entropy = -(decoder.exp() * decoder).sum(dim=1).numpy()
    yield "with the mean, a strength by length", choose(by_mean, split(lengths))
    yield "with the mean, a strength by entropy", choose(by_mean, split(entropy))
    learned = learn_kernel(scored)
    by_learned = [scored.judge(decoder + one * learned) for one in STRENGTHS]
    yield f"with a product of {STEPS} learned weights", choose(np.stack(by_learned), whole)


def choose(
    judged: Float[np.ndarray, "S Q"], part: Int[np.ndarray, " Q"]
) -> Float[np.ndarray, " Q"]:
    """Every query's figure at the strength that is best for its part of the other half."""
    found, halves = np.zeros(judged.shape[1]), np.arange(len(part)) % 2
    for half, one in product(range(2), np.unique(part)):
        is_own, is_other = (part == one) & (halves == half), (part == one) & (halves != half)
        found[is_own] = judged[judged[:, is_other].mean(axis=1).argmax(), is_own]
    return found


def split(values: Float[np.ndarray, " Q"]) -> Int[np.ndarray, " Q"]:
    """The part of every query by the size of a value."""
    return np.searchsorted(np.quantile(values, np.arange(1, PARTS) / PARTS), values)


def learn_kernel(scored: Scored) -> Scores:
    """The product with a weight for every step, each half's learned on the other one.

    Weights, strength and the penalty of popularity minimise the cross-entropy of the validation
    items, beside the decoder, over titles that were not seen.
    """
    popularity = ((scored.counts + 1) / (scored.counts + 1).sum()).log()
    result = torch.zeros_like(scored.decoder)
    for half in range(2):
        kernel = torch.zeros(STEPS + 1, requires_grad=True)
        factors = torch.tensor([0.0, 0.0], requires_grad=True)
        optimizer = torch.optim.Adam([kernel, factors], lr=RATE)

        def apply(rows: Int[Tensor, " B"], kernel: Tensor = kernel, factors: Tensor = factors):
            weighted = torch.einsum("s,bsi->bi", kernel.softmax(0), stack_steps(scored, rows))
            return factors[0].exp() * weighted - factors[1] * popularity

        others = torch.arange(1 - half, len(result), 2)
        for epoch in range(EPOCHS):
            order = torch.randperm(
                len(others), generator=torch.Generator().manual_seed(epoch)
            ).split(BATCH)
            for batch in order:
                rows = others[batch]
                logits = scored.decoder[rows] + apply(rows)
                is_open = ~scored.is_seen[rows, scored.targets[rows]]
                logits = logits.masked_fill(scored.is_seen[rows], -torch.inf)[is_open]
                loss = torch.nn.functional.cross_entropy(logits, scored.targets[rows][is_open])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            for rows in torch.arange(half, len(result), 2).split(BATCH):
                result[rows] = apply(rows)
        shares = " ".join(f"{share:.3f}" for share in kernel.softmax(0).tolist())
        strength, penalty = factors[0].exp().item(), factors[1].item()
        print(f"weights {shares}; strength {strength:.2f}, penalty {penalty:.2f}", flush=True)
    return result


def stack_steps(scored: Scored, rows: Int[Tensor, " B"]) -> Float[Tensor, "B S I"]:
    """The logarithms of the transitions from every last item, and the mean of all older ones."""
    size = scored.decoder.shape[1]
    stacked = torch.zeros(len(rows), STEPS + 1, size)
    for place, number in enumerate(rows.tolist()):
        history = np.asarray(scored.histories[number])[::-1]
        last = torch.from_numpy(scored.edges[history[:STEPS]].toarray())
        stacked[place, : len(last)] = last
        if len(history) > STEPS:
            older = np.asarray(scored.edges[history[STEPS:]].mean(axis=0))
            stacked[place, STEPS] = torch.from_numpy(older[0]).float()
    return stacked


def find_wins(data: str, scored: Scored) -> Iterator[Row]:
    """Shares of the targets that one of decoder and product lists alone, by history and target."""
    decoder, of_product = (scored.judge(one) > 0 for one in (scored.decoder, scored.product))
    lengths = split(np.array([len(history) for history in scored.histories]))
    popularity = split(scored.counts[scored.targets].numpy())
    for what, part in (("history", lengths), ("popularity of the target", popularity)):
        for number in range(PARTS):
            own = part == number
            for system, is_won in (
                ("the decoder alone", decoder & ~of_product),
                ("the product alone", of_product & ~decoder),
                ("both", decoder & of_product),
            ):
                yield row(
                    NAME,
                    f"{data}, validation, targets in the ten: {what}, fourth {number + 1}",
                    [float(is_won[own].mean())],
                    "",
                    system=system,
                    note=f"{int(own.sum()):,} queries",
                    module=MODULE,
                )
