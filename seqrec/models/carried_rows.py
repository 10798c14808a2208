"""A model over another catalog: what stands per item or token is carried over, all else is kept."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from seqrec.models.configuration import SeqRecConfig
from seqrec.models.content import ContentEmbedding
from seqrec.models.ensemble import EnsembleDecoder
from seqrec.models.heads import UntiedCatalogHead
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.start_rows import StartRows
from seqrec.models.transition_prior.counts import TransitionPrior


class Edges(NamedTuple):
    """Buffers of a transition prior, in its layout."""

    first_edge: Int[Tensor, " I+1"]
    target: Int[Tensor, " E"]
    weight: Tensor
    leaving: Tensor
    popularity: Tensor


@torch.no_grad()
def carry_rows(
    model: SeqRecForNextItem,
    items: Int[Tensor, " J"],
    tokens: Int[Tensor, " W"],
    config: SeqRecConfig,
) -> SeqRecForNextItem:
    """Return the model over another catalog, in evaluation mode.

    Rows of new items and tokens are drawn from torch's generator, as for a new model. With content
    they have no row and no content yet; what only requests in words read of them is zero.

    Args:
        model: the model, which is not changed.
        items: its item for every item of the other catalog, -1 for new ones.
        tokens: its token for every token of the other tokenizer, -1 for new ones.
        config: the configuration with the sizes and fingerprints of the other catalog.
    """
    edges = None
    if model.transition_prior is not None:
        edges = carry_edges(model.transition_prior, items)
        config.transition_prior = {
            **(config.transition_prior or {}),
            **model.transition_prior.settings_over(len(items)),
            "num_edges": len(edges.target),
        }
    carried = SeqRecForNextItem(config)
    carried.word_settings = model.word_settings
    by_row = {id(table) for table, _ in _get_tables(model, items, tokens)}
    weights = {
        name: tensor.detach()
        for name, tensor in model.state_dict(keep_vars=True).items()
        if id(tensor) not in by_row and not name.startswith("transition_prior.")
    }
    carried.load_state_dict(weights, strict=False)
    pairs = zip(_get_tables(model, items, tokens), _get_tables(carried, items, tokens), strict=True)
    for (old, rows), (new, _) in pairs:
        known = (rows >= 0).nonzero().squeeze(1)
        new[known] = old[rows[known]]
        new[len(rows) :] = 0  # padding
    embedding = carried.get_input_embeddings()
    if isinstance(embedding, ContentEmbedding):
        embedding.has_row[items < 0] = False
    if edges is not None and carried.transition_prior is not None:
        for name, tensor in edges._asdict().items():
            getattr(carried.transition_prior, name).copy_(tensor)
    return carried.eval()


def _get_tables(
    model: SeqRecForNextItem, items: Int[Tensor, " J"], tokens: Int[Tensor, " W"]
) -> Iterator[tuple[Tensor, Int[Tensor, " S"]]]:
    """Yield the tensors with a row for each token or item, and the rows to carry over."""
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, ContentEmbedding):
        for decoder in _get_decoders(model):
            yield decoder.get_input_embeddings().weight, tokens
    else:
        yield embedding.weight, tokens
        yield embedding.content, items
        yield embedding.has_row, items
    if isinstance(model.head, UntiedCatalogHead):
        yield model.head.table.weight, items
    if model.word_head is not None:
        yield model.word_head.weight, tokens
    if model.query_token is not None:
        yield model.query_token.content, items
        yield model.query_token.rows, items


def _get_decoders(model: SeqRecForNextItem) -> list[Any]:
    """Return the members of an ensemble, or the only decoder."""
    backbone = model.backbone
    return backbone.decoders() if isinstance(backbone, EnsembleDecoder) else [backbone]


@torch.no_grad()
def start_items(model: SeqRecForNextItem, num_old: int, start: StartRows) -> None:
    """Set the rows of a catalog's last items in every table of item vectors.

    Args:
        model: a model without content, whose new items follow the old ones.
        num_old: number of the old items.
        start: from the rows of all old items to those of the new ones, table by table.
    """
    first, num_items = model.config.first_item_token, model.config.num_items
    tables = [one.get_input_embeddings().weight[first:] for one in _get_decoders(model)]
    if isinstance(model.head, UntiedCatalogHead):
        tables.append(model.head.table.weight)
    if model.word_head is not None:
        tables.append(model.word_head.weight[first:])
    for table in tables:
        table[num_old:num_items] = start(table[:num_old]).to(table)


def carry_edges(prior: TransitionPrior, items: Int[Tensor, " J"]) -> Edges:
    """Return the transitions between the items that the other catalog also holds.

    New items have no transitions, and the popularity of an item that never occurred. Popularity is
    shared out anew if items are dropped; else it stays, and with it the scores of all old items.

    Args:
        prior: the prior.
        items: its item for every item of the other catalog, -1 for new ones.
    """
    known = (items >= 0).nonzero().squeeze(1)
    new_items = torch.full((len(prior.leaving),), -1)
    new_items[items[known]] = known
    sources = torch.arange(len(prior.leaving)).repeat_interleave(prior.first_edge.diff())
    source, target = new_items[sources], new_items[prior.target.long()]
    is_kept = (source >= 0) & (target >= 0)
    order = (source * len(items) + target)[is_kept].argsort(stable=True)
    source, target = source[is_kept][order], target[is_kept][order]
    lost = torch.zeros(len(prior.leaving))
    lost.index_add_(0, sources[~is_kept], prior.weight[~is_kept])
    leaving = torch.zeros(len(items))
    leaving[known] = (prior.leaving - lost).clamp_min(0)[items[known]]
    popularity = prior.popularity.min().repeat(len(items))
    popularity[known] = prior.popularity[items[known]]
    if len(known) < len(prior.leaving):
        popularity /= popularity.sum()
    counts = torch.bincount(source, minlength=len(items))
    return Edges(
        torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)]),
        target.to(prior.target.dtype),
        prior.weight[is_kept][order],
        leaving,
        popularity,
    )


@torch.no_grad()
def give_rows(model: SeqRecForNextItem, is_trained: Tensor) -> int:
    """Give a row to each item of a training log that a model with content has none for.

    The vector of such an item stays the one that it had from its content alone, if the model has
    learned to compute that; else its row is as drawn.

    Args:
        model: the model.
        is_trained: True for the items of the training log.

    Returns:
        The number of new rows.
    """
    embedding = model.get_input_embeddings()
    if not isinstance(embedding, ContentEmbedding):
        return 0
    items = (is_trained & ~embedding.has_row).nonzero().squeeze(1)
    projection = embedding.proj_of_new
    if projection.weight.any() or projection.bias.any():
        content = embedding.content[items]
        rows = projection(content) - embedding.proj(content)
        embedding.weight[embedding.items.start + items] = rows.to(embedding.weight.dtype)
    embedding.has_row[items] = True
    return len(items)
