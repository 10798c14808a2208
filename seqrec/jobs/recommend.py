"""``seqrec recommend``: the next items for given histories, or for users of a dataset."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from seqrec.arguments import check_arguments
from seqrec.builders.explainer import build_explainer
from seqrec.builders.named_models import NamedModel
from seqrec.builders.text_search import (
    build_text_search,
    get_query_token,
    open_request_decoder,
)
from seqrec.config.defaults import RECOMMEND
from seqrec.data.tables import check_table_file
from seqrec.errors import SeqRecError
from seqrec.jobs.list_requests import (
    WhichHistories,
    is_baseline,
    list_for_data,
    list_for_histories,
    serve_model,
)
from seqrec.outputs import locate_output, refuse_existing_file, reserve_output
from seqrec.ranking.answer import answer_history, answer_in_words, answer_similar, answer_text
from seqrec.ranking.explained import explain_rows
from seqrec.ranking.explained_requests import answer_explained
from seqrec.ranking.given_histories import check_history
from seqrec.ranking.list_options import DEFAULT_K, ListOptions
from seqrec.ranking.recommender import Recommender
from seqrec.ranking.request_batches import ListRequest
from seqrec.ranking.served import Reading, Served
from seqrec.ranking.text_requests import TextSearch
from seqrec.ranking.word_lists import list_by_words


@check_arguments
def recommend(
    model: NamedModel,
    *,
    history: Sequence[Any] | None = None,
    histories: Any = None,
    text: str | None = None,
    words: int | None = None,
    language_model: str | Path | None = None,
    similar_to: Any = None,
    data: str | Path | None = None,
    split: WhichHistories = RECOMMEND.split,
    users: Any = None,
    k: int | None = None,
    exclude_seen: bool = True,
    allow: Any = None,
    exclude: Any = None,
    candidates: Any = None,
    where: str | None = None,
    mmr: float | None = None,
    max_per: Sequence[str] = (),
    pin: Mapping[Any, Any] | Sequence[Any] = (),
    conditions: Mapping[str, Any] | None = None,
    likelihood: tuple[str, Any] | None = None,
    plan: bool = False,
    guidance: float = 1.0,
    memory_mb: float | None = None,
    index: str | Path | None = None,
    explain: bool = False,
    explain_with: str | Path | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> Any:
    """Recommend for given histories, or for the users of a prepared folder.

    The items of a list are restricted by ``allow``, ``exclude`` and ``candidates``: a file (one id
    a line, or columns ``item_id`` and, for lists per user, ``user_id``), a frame, a list of ids, or
    a mapping from users to ids. A user without allowed items or candidates gets no list.

    Args:
        model: run or model folder, a baseline's name (with ``data``), or a ranker in memory.
        history: item ids, or events such as ``{"item_id": "318", "rating": 5}``, oldest first;
            new users need no retraining.
        histories: histories of several new users: a log (a file or frame of interactions), or as
            in ``Recommender.recommend``.
        text: a request in words, such as ``a comedy from the 90s like Heat, not too sad``, with a
            ``history`` or without: items that it names follow the history, values of columns,
            years and lengths become conditions, and the rest is compared with the items' texts.
            The result holds what was understood. A model with both heads, of ``mixed-sft``,
            reads the request itself; in it items stand as ``<item:ID>``.
        words: answer a ``text`` in words of this many tokens at most, by a model with both heads;
            None: a list.
        language_model: reads conditions of a ``text`` that the words of the catalog do not name
            (``something spooky``), by decoding among the catalog's columns and values alone.
        similar_to: an item id, to list the most similar items.
        data: prepared folder, to recommend for its users, or to fit a baseline to.
        split: with ``data``: histories before the ``validation`` or ``test`` targets, or ``all``
            interactions of each user.
        users: with ``data``: only these users, as a list of ids, a file or a frame.
        k: length of the lists; None: 10, or with ``candidates`` all of them.
        exclude_seen: exclude the items of the history from the lists.
        allow: the items that may be listed.
        exclude: the items that may not be listed.
        candidates: the items to rank, also seen ones.
        where: condition on the items' columns, such as
            ``genres contains 'Comedy' AND year > 1990``.
        mmr: for diverse lists: weight from 0 to 1 of the score against the similarity to the items
            listed before.
        max_per: ``COLUMN:N``: at most N items of each value of an item column in a list.
        pin: items that stand in every list, as ``ITEM`` or ``ITEM:RANK``, or a mapping from items
            to ranks. Seen items are pinned too; excluded ones are not.
        conditions: values of features that the model reads before an item, such as
            ``{"rating": 5}``, assumed for the recommended items.
        likelihood: a learned feature and its value, such as ``("rating", 5)``; the result has its
            probability for every item of the list of ``history``.
        plan: the model first predicts features of the next item, which become conditions.
        guidance: weight of conditions and plans, and of the words of ``text`` that are no
            condition, from 0 (left out) to 100; more than 1 follows them further:
            ``log p(i | h) + guidance * (log p(i | h, conditions) - log p(i | h))``.
        memory_mb: memory for scores, in MiB; None: chosen for the processor.
        index: folder of an exported FAISS index to search by products of vectors; None: exact.
        explain: with ``history`` or ``text``: every item of the list has an ``explanation``: the
            titles without which it would stand lower, what they share, and a sentence. With
            ``data`` beside a model, also how many users of its training part went on to the item.
        explain_with: language model that words the sentences; each is checked against the facts.
        out: file for the lists (.parquet, .csv or .ndjson), required with the users of ``data``.
        overwrite: replace ``out``.

    Returns:
        The list of a history or of similar items, or the ``answer`` in words. With ``out``: the
        path of the file, counts, and the times that the model read, which a Parquet file also
        records. With ``histories`` and
        no ``out``: a frame for a log, else as ``Recommender.recommend``.

    Raises:
        SeqRecError: a mistake in options, model, histories, data or output.
    """
    if text is not None and history is None and histories is None:
        history = []
    if words is not None and (text is None or histories is not None or words < 1):
        raise SeqRecError("--words: goes with --text, and is the length of an answer, at least 1")
    if language_model is not None and text is None:
        raise SeqRecError("--language-model: goes with --text")
    given = [one for one in (history, histories, similar_to) if one is not None]
    if len(given) > 1 or (not given and data is None):
        raise SeqRecError("--history, --histories, --similar-to, --data: name exactly one of them")
    _check_options(k, split, index, memory_mb)
    if out is not None:
        out = locate_output(out)
        check_table_file(out, "--out")
        reads = (model, data, index, histories, users, allow, exclude, candidates)
        refuse_existing_file(out, overwrite, reads)
    if text is not None and likelihood is not None:
        raise SeqRecError("--text: goes without --likelihood")
    if likelihood is not None and history is None:
        raise SeqRecError("--likelihood goes with --history")
    explain = explain or explain_with is not None
    if explain and (history is None or index is not None):
        raise SeqRecError("--explain goes with --history and --text, and exact search")
    options = ListOptions(allow, exclude, candidates, where, mmr, max_per, pin)
    reading = Reading(conditions or {}, plan, guidance)
    target = None if out is None else Path(out)
    if not given:
        with reserve_output(target):
            return list_for_data(
                model,
                data or "",
                split,
                users,
                k,
                exclude_seen,
                options,
                reading,
                memory_mb,
                index,
                out,
                overwrite,
            )
    if users is not None:
        raise SeqRecError("--users chooses users of --data; leave it out")
    if out is not None and histories is None:
        raise SeqRecError("--out goes with --data and --histories; one list is printed")
    with reserve_output(target):
        has_counts = explain and not is_baseline(model)
        served = serve_model(model, None if has_counts else data, memory_mb, index)
        if text is not None and index is not None and get_query_token(served.ranker) is None:
            raise SeqRecError(
                "--text: the scores of a model without a query token are no product of vectors; "
                "leave out --index, or train it with seqrec train search"
            )
        if similar_to is not None:
            return answer_similar(served, similar_to, k, options)
        if history is not None:
            history = check_history(history)
            request = ListRequest(history, k, exclude_seen, options, reading)
            reader = (
                None
                if text is None
                else _find_reader(served.ranker, words, explain, language_model)
            )
            if text is not None and reader is not None:
                if words is not None:
                    return answer_in_words(reader, text, history, words)
                return answer_text(reader, text, request)
            search = None if text is None else _build_search(served, language_model)
            if explain:
                explainer = build_explainer(served, data, explain_with)
                if search is not None:
                    return answer_explained(search, text or "", request, explainer)
                answer = answer_history(served, request, likelihood)
                return explain_rows(explainer, answer, history, reading)
            if search is not None:
                return search.answer(text or "", request)
            return answer_history(served, request, likelihood)
        if text is not None:
            reader = _find_reader(served.ranker, words, explain, language_model)
            if reader is not None:
                return reader.recommend_for_text(
                    text, histories, k or DEFAULT_K, exclude_seen, options, reading
                )
            asked = ListRequest([], k, exclude_seen, options, reading)
            search = _build_search(served, language_model)
            return list_by_words(search, text, histories, asked)
        return list_for_histories(
            served, histories, k, exclude_seen, options, reading, out, overwrite
        )


def _build_search(served: Served, language_model: str | Path | None) -> TextSearch:
    return build_text_search(served, language_model=open_request_decoder(language_model))


def _find_reader(
    ranker: Any, words: int | None, explain: bool, language_model: str | Path | None
) -> Recommender | None:
    """Return the model if it reads a request itself, because it has a word head.

    Raises:
        SeqRecError: an answer in words of another system; an explanation of this one's, or another
            language model beside it.
    """
    if not isinstance(ranker, Recommender) or not ranker.reads_texts:
        if words is not None:
            raise SeqRecError(
                f"--words: {ranker.name} reads items alone; name a run of seqrec train mixed-sft"
            )
        return None
    if explain:
        raise SeqRecError(f"--explain: {ranker.name} reads texts itself; leave --text out")
    if language_model is not None:
        raise SeqRecError(f"--language-model: {ranker.name} reads requests itself; leave it out")
    return ranker


def _check_options(
    k: int | None,
    split: str,
    index: str | Path | None,
    memory_mb: float | None,
) -> None:
    """Refuse options that are wrong whatever the model."""
    if k is not None and k < 1:
        raise SeqRecError(f"--k {k}: at least 1")
    if split not in get_args(WhichHistories):
        raise SeqRecError(f"--split {split}: choose from {', '.join(get_args(WhichHistories))}")
    if index is not None and memory_mb is not None:
        raise SeqRecError("--memory-mb is for exact lists; leave it out with --index")
