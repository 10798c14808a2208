"""Rows that new words or items start from: at random, from their text, from other rows."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

StartRows = Callable[[Float[Tensor, "V D"]], Float[Tensor, "W D"]]
"""From the rows of the old words in a table to a row for each new word. Tables are the input
embedding, and an untied head. For items alone the rows are those of the old items."""


def random_rows(num_words: int) -> StartRows:
    """Return rows that are drawn at the scale of the old ones, from torch's generator.

    Every unit is normal, with the mean and the standard deviation that it has over the old rows.
    """

    def draw(table: Float[Tensor, "V D"]) -> Float[Tensor, "W D"]:
        old = table.float()
        spread = old.std(dim=0, correction=0)
        return old.mean(dim=0) + spread * torch.randn(num_words, table.shape[1])

    return draw


def mean_rows(texts: Sequence[Sequence[int]]) -> StartRows:
    """Return rows that are the means of old rows: of a text's tokens, or of an item's neighbours.

    Args:
        texts: the old rows that each new word starts from; without any, it starts from the mean
            of all old rows.
    """

    def average(table: Float[Tensor, "V D"]) -> Float[Tensor, "W D"]:
        mean = table.float().mean(dim=0)
        rows = [table[list(text)].float().mean(dim=0) if len(text) else mean for text in texts]
        return torch.stack(rows) if rows else table.new_empty(0, table.shape[1])

    return average


def mapped_rows(vectors: Float[Tensor, "W F"], anchors: StartRows) -> StartRows:
    """Return vectors of another model, mapped into the space of the table by least squares.

    The map is affine. It is fitted where both sides have something to say of a word: from its
    vector to its anchor row, such as the mean of its text, over all words whose vector is not 0.
    Mapped rows keep what of the vectors the map explains, and are scaled, unit by unit, to the
    spread of the anchors, which a regression shrinks. A word with the vector 0 starts from its
    anchor.

    Args:
        vectors: a vector for each new word, 0 for a word that the other model lacks.
        anchors: the rows that the map is fitted to.
    """

    def map_into(table: Float[Tensor, "V D"]) -> Float[Tensor, "W D"]:
        targets = anchors(table).double()
        is_known = vectors.any(dim=1)
        known, wanted = vectors[is_known].double(), targets[is_known]
        if len(known) < 2:
            return targets.float()
        centred = known - known.mean(dim=0)
        solution = torch.linalg.lstsq(centred, wanted - wanted.mean(dim=0), driver="gelsd").solution
        fitted = centred @ solution
        scale = wanted.std(dim=0) / fitted.std(dim=0).clamp_min(torch.finfo(torch.float32).tiny)
        targets[is_known] = wanted.mean(dim=0) + fitted * scale
        return targets.float()

    return map_into


def predicted_rows(old: Float[Tensor, "J F"], new: Float[Tensor, "W F"]) -> StartRows:
    """Return rows that a ridge regression predicts from vectors, as it does those of old items.

    The regression is affine, and as strong as the mean variance of the vectors. Predicted rows are
    scaled, unit by unit, to the spread of the old rows, which a regression shrinks.

    Args:
        old: vectors of old items, 0 for an item that has none.
        new: vectors of the new items; one that is 0 starts from the mean of the old rows.
    """

    def predict(table: Float[Tensor, "J D"]) -> Float[Tensor, "W D"]:
        is_known, rows = old.any(dim=1), table.double()
        if not is_known.any():
            return rows.mean(dim=0).expand(len(new), -1).float()
        known, wanted = old[is_known].double(), rows[is_known]
        centre, mean = known.mean(dim=0), wanted.mean(dim=0)
        centred = known - centre
        products = centred.T @ centred
        strength = products.diagonal().mean().clamp_min(torch.finfo(torch.float32).tiny)
        penalty = strength * torch.eye(len(products), dtype=torch.float64)
        solution = torch.linalg.solve(products + penalty, centred.T @ (wanted - mean))
        spread = (centred @ solution).std(dim=0, correction=0)
        scale = wanted.std(dim=0, correction=0) / spread.clamp_min(torch.finfo(torch.float32).tiny)
        found = mean + (new.double() - centre) @ solution * scale
        return torch.where(new.any(dim=1, keepdim=True), found, rows.mean(dim=0)).float()

    return predict


def join_rows(*parts: StartRows) -> StartRows:
    """Return the rows of several kinds of words, one kind after the other."""

    def join(table: Float[Tensor, "V D"]) -> Float[Tensor, "W D"]:
        return torch.cat([part(table).to(table.device) for part in parts])

    return join
