"""Answers of a model with two heads to requests in words: lists of items, and words."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from seqrec.arguments import check_arguments
from seqrec.data.item_table import ItemTable
from seqrec.errors import SeqRecError
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.ranking.given_histories import list_histories
from seqrec.ranking.list_options import ListOptions
from seqrec.ranking.served import Reading, Served
from seqrec.ranking.text_reading import PromptRanker, Request, TextReader, list_requests
from seqrec.tokens.text.items import ITEM
from seqrec.tokens.tokenizer import decode_item_token


class AnswersTexts:
    """A recommender whose model reads texts, if it has a word head beside that of items."""

    name: str
    folder: Path | None
    model: SeqRecForNextItem
    table: ItemTable

    @property
    def reads_texts(self) -> bool:
        """True for a model with both heads; one with a query token reads requests by that."""
        config = self.model.config
        return bool(config.word_head) and config.query_token is None

    @cached_property
    def texts(self) -> TextReader:
        """Reads texts for the model.

        Raises:
            SeqRecError: a model that answers with items alone.
        """
        return TextReader(self.name, self.folder, self.model, self.table)

    def serve(self) -> Served:
        """Return the recommender with its catalog."""
        raise NotImplementedError

    def serve_texts(self, requests: list[Request]) -> Served:
        """Return the recommender with its catalog, for histories under requests in words.

        Args:
            requests: one for each history, or one for all of them.
        """
        read, ranker = self.texts.reader(requests), PromptRanker(self)
        return replace(self.serve(), ranker=ranker, read=read, search=ranker.rank)

    def recommend_for_text(
        self,
        text: Any,
        histories: Any,
        k: int,
        exclude_seen: bool,
        options: ListOptions,
        reading: Reading,
    ) -> Any:
        """Return lists for requests in words; see ``Recommender.recommend``."""
        requests, _ = list_requests(text)
        given = [[] for _ in requests] if histories is None else histories
        return self.serve_texts(requests).recommend(given, k, exclude_seen, options, reading)

    @check_arguments
    def generate(self, text: Any, histories: Any = None, *, max_tokens: int = 60) -> Any:
        """Return the most likely answers in words, in which items stand as ``<item:ID>``.

        Args:
            text: a request, the messages of a conversation, or a list of requests.
            histories: by option, lists of ids of the users that ask; several may ask one request.
            max_tokens: longest answer.

        Returns:
            A text; a list of texts for several requests, or with histories.

        Raises:
            SeqRecError: a model that answers with items alone, or a request longer than it reads.
        """
        if max_tokens < 1:
            raise SeqRecError(f"max_tokens is {max_tokens}: at least 1")
        requests, are_several = list_requests(text)
        given = [[] for _ in requests] if histories is None else list_histories(histories)
        read = self.texts.reader(requests)(given, Reading({}, plan=False))
        answers = self.texts.generate(read.histories, max_tokens)  # type: ignore[arg-type]
        return answers if are_several or histories is not None else answers[0]

    def show_titles(self, answer: str) -> str:
        """Return an answer in words with the titles of the items that it names."""

        def show(found: Any) -> str:
            rows, _ = self.table.find([decode_item_token(found.group())])
            return self.table.titles[rows[0]] if len(rows) else found.group()

        return ITEM.sub(show, answer)
