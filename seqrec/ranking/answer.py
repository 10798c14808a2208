"""The responses for histories, and for one item: rows, unknown ids and features, likelihoods."""

from collections.abc import Sequence
from typing import Any

from seqrec.data.ids import get_id_text
from seqrec.data.item_table import ItemTable
from seqrec.errors import SeqRecError
from seqrec.ranking.list_options import Asked, ListOptions, build_rules
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.request_batches import ListRequest, RankedRequest, rank_requests
from seqrec.ranking.served import Served
from seqrec.ranking.similar_items import rank_similar
from seqrec.retrieval.exact import TopK

FALLBACK = "most watched in training"


def answer_history(
    served: Served, request: ListRequest, likelihood: tuple[str, Any] | None
) -> dict[str, Any]:
    """Return the recommendations for one history.

    Args:
        served: the model or baseline.
        request: the history and the rules of its list.
        likelihood: a learned feature and its value, whose probability each item gets.

    Raises:
        SeqRecError: a mistake in the request.
    """
    (ranked,) = rank_requests(served, [request])
    if isinstance(ranked, SeqRecError):
        raise ranked
    answer = describe_list(served, ranked)
    if likelihood is not None:
        _add_likelihood(served, ranked, answer["recommendations"], likelihood)
    return answer


def answer_requests(
    served: Served, requests: Sequence[ListRequest]
) -> list[dict[str, Any] | SeqRecError]:
    """Return the recommendations of every request, or the mistake in it."""
    return [
        ranked if isinstance(ranked, SeqRecError) else describe_list(served, ranked)
        for ranked in rank_requests(served, requests)
    ]


def describe_list(served: Served, answer: RankedRequest) -> dict[str, Any]:
    """Return a list with titles, and what of its request was not understood."""
    given, item_ids, titles = answer.given, served.table.item_ids, served.table.titles
    ranker = served.ranker
    is_answered = (
        len(given.items[0]) > 0 or not isinstance(ranker, Recommender) or ranker.request is not None
    )
    return {
        "history": [
            {"item_id": item_ids[item], "title": titles[item]} for item in given.items[0].tolist()
        ],
        "unknown_items": given.unknown_items,
        "unknown_features": given.unknown_features,
        "fallback": None if is_answered else FALLBACK,
        **({} if given.plans is None else {"plan": given.plans[0]}),
        "notes": answer.notes,
        "k": answer.rules.k,
        "recommendations": _list_rows(answer.ranked, served.table),
    }


def answer_text(served: Recommender, text: str, request: ListRequest) -> dict[str, Any]:
    """Return the recommendations that a model with both heads gives to a request in words.

    Args:
        served: the model.
        text: the request, which the model reads itself.
        request: the history and the rules of the list.

    Raises:
        SeqRecError: a mistake in the request.
    """
    return {**answer_history(served.serve_texts([text]), request, None), "text": text}


def answer_in_words(
    served: Recommender, text: str, history: Sequence[Any], max_tokens: int
) -> dict[str, Any]:
    """Return the answer in words that a model with both heads gives to a request.

    Args:
        served: the model.
        text: the request.
        history: of the user.
        max_tokens: longest answer.
    """
    (answer,) = served.generate(text, [list(history)], max_tokens=max_tokens)
    return {"text": text, "answer": answer, "shown": served.show_titles(answer)}


def answer_similar(
    served: Served, item_id: Any, k: int | None, options: ListOptions
) -> dict[str, Any]:
    """Return the items that are most similar to one item, and their similarities.

    Raises:
        SeqRecError: the item is not in the catalog, or the system compares no items.
    """
    item_id = get_id_text(item_id)
    item = served.table.get_row(item_id, "--similar-to")
    rules, notes = build_rules(options, k, True, served.table, Asked(1, None))
    if not rules.are_plain:
        raise SeqRecError("--similar-to: goes without --mmr, --max-per and --pin")
    ranked = rank_similar(served.ranker, item, rules.k, rules.allowed)
    return {
        "similar_to": {"item_id": item_id, "title": served.table.titles[item]},
        "notes": notes,
        "k": rules.k,
        "recommendations": _list_rows(ranked, served.table),
    }


def _add_likelihood(
    served: Served,
    answer: RankedRequest,
    rows: Sequence[dict[str, Any]],
    likelihood: tuple[str, Any],
) -> None:
    """Add the probability of a feature's value to every row of a list."""
    if not isinstance(served.ranker, Recommender):
        raise SeqRecError(f"--likelihood: {served.ranker.name} has learned no features")
    items = answer.ranked.items[0].numpy()
    (probabilities,) = served.ranker.compute_likelihood(
        answer.given.histories, [items[items >= 0]], *likelihood
    )
    for row, probability in zip(rows, probabilities, strict=True):
        row["likelihood"] = probability


def _list_rows(ranked: TopK, table: ItemTable) -> list[dict[str, Any]]:
    """Return the first list as rows."""
    item_ids, titles = table.item_ids, table.titles
    pairs = zip(ranked.items[0].tolist(), ranked.scores[0].tolist(), strict=True)
    listed = [(item, score) for item, score in pairs if item >= 0]
    return [
        {"rank": rank, "item_id": item_ids[item], "score": score, "title": titles[item]}
        for rank, (item, score) in enumerate(listed, 1)
    ]
