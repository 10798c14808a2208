"""Requests that a model with two heads reads itself: words, items and histories as its tokens."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from seqrec.data.item_table import ItemTable
from seqrec.errors import SeqRecError, quote
from seqrec.models.next_item import SeqRecForNextItem
from seqrec.models.two_heads import as_language_model
from seqrec.ranking.given_histories import list_keys, refuse_conditions
from seqrec.ranking.history_reading import find_items
from seqrec.ranking.ranker import Ranker, ScoreTile
from seqrec.ranking.served import Given, Reading
from seqrec.tokens.events.requests import Event
from seqrec.tokens.text.chat import USER
from seqrec.tokens.text.examples import ExampleEncoder
from seqrec.tokens.text.items import find_item_words
from seqrec.tokens.text.prompts import Prompts
from seqrec.tokens.tokenizer import decode_item_token, history_text, load_tokenizer

Request = str | list[dict[str, Any]]
"""A text of the user, or the messages of a conversation."""
WHERE = "text"


class TextReader:
    """Reads requests for a model with two heads, and answers them in words."""

    def __init__(self, name: str, folder: Path | None, model: SeqRecForNextItem, table: ItemTable):
        """Open the tokenizer.

        Raises:
            SeqRecError: a model that answers with items alone.
        """
        if not model.config.word_head or folder is None:
            raise SeqRecError(
                f"text: {name} reads items alone; name a run of seqrec train mixed-sft"
            )
        self.name = name
        self.model = model
        self.table = table
        self.tokenizer = load_tokenizer(folder)
        self.limit: int = (
            getattr(model.config.backbone_config, "max_position_embeddings", None) or 1 << 30
        )
        self.encoder = ExampleEncoder(self.tokenizer, name, self.limit, "truncate")

    @cached_property
    def words(self) -> Any:
        """The causal language model, which shares the weights."""
        return as_language_model(self.model, self.tokenizer)

    def reader(self, requests: Sequence[Request]) -> Callable[[list[list[Event]], Reading], Given]:
        """Return the function that reads histories together with requests.

        Args:
            requests: one for each history, or one for all of them.
        """

        def read(histories: list[list[Event]], reading: Reading) -> Given:
            refuse_conditions(self.name, reading.conditions)
            if reading.plan:
                raise SeqRecError(f"plan: {self.name} has learned no features; leave it out")
            if len(requests) not in (1, len(histories)):
                raise SeqRecError(
                    f"text: {len(requests)} texts for {len(histories)} histories; give one for "
                    "each, or one for all"
                )
            prompts, unknown = self.read(requests, histories)
            return Given(prompts.items, prompts, unknown, list_keys(histories))

        return read

    def read(
        self, requests: Sequence[Request], histories: Sequence[Sequence[Event]]
    ) -> tuple[Prompts, list[str]]:
        """Return requests with their histories as tokens, and the ids outside the catalog.

        A history stands before the words of the first message of the user, as items with a space
        between them and a line break after.

        Raises:
            SeqRecError: messages of another form, or more tokens than the model reads.
        """
        rows, unknown = find_items(self.table, histories)
        whole = [*requests] * (len(histories) if len(requests) == 1 else 1)
        tokens = []
        for request, items in zip(whole, rows, strict=True):
            recent = items[-self.model.config.max_length :].tolist()
            item_ids = [self.table.item_ids[item] for item in recent]
            given = _with_history(request, history_text(item_ids)) if item_ids else request
            tokens.append(self.encoder.request_tokens(given, WHERE))
            if len(tokens[-1]) >= self.limit:
                raise SeqRecError(
                    f"text: {len(tokens[-1]):,} tokens with its history, and {self.name} reads "
                    f"{self.limit:,} with the answer; shorten it"
                )
            unknown += self._find_unknown(request)
        blocks = self.model.config.item_blocks
        decoded = [blocks.decode(np.array(row, dtype=np.int64)[:, None]) for row in tokens]
        return Prompts([items[items >= 0] for items in decoded], tokens), unknown

    def _find_unknown(self, request: Request) -> list[str]:
        texts = [request] if isinstance(request, str) else [one["content"] for one in request]
        vocabulary = self.tokenizer.get_vocab()
        named = [word for text in texts for word in find_item_words(text) if word not in vocabulary]
        return list(map(decode_item_token, named))

    @torch.inference_mode()
    def generate(self, prompts: Prompts, max_tokens: int) -> list[str]:
        """Return the most likely answers in words; items are spelled as their tokens."""
        answers = []
        for row in prompts.tokens:
            tokens = torch.tensor([row], device=self.model.device)
            found = self.words.generate(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                max_new_tokens=min(max_tokens, self.limit - len(row)),
                do_sample=False,
            )
            answer = self.tokenizer.decode(found[0, len(row) :], skip_special_tokens=True)
            answers.append(str(answer).strip())
        return answers


class PromptRanker(Ranker):
    """Ranks items after requests: the catalog head's scores where the answer begins."""

    batch_size = 32

    def __init__(self, ranker: Any) -> None:
        """Set the ranker of the same model for histories."""
        self.ranker = ranker
        self.name = ranker.name
        self.num_items = ranker.num_items
        self.tile_items = ranker.tile_items

    def item_vectors(self) -> Float[np.ndarray, "I D"] | None:
        return self.ranker.item_vectors()

    @torch.inference_mode()
    def score_tiles(self, histories: Sequence[Int[np.ndarray, " T"]]) -> ScoreTile:
        assert isinstance(histories, Prompts)
        model = self.ranker.model
        width = max(len(row) for row in histories.tokens)
        tokens = torch.full((len(histories), width), model.pad_token_id)
        documents = torch.zeros_like(tokens)
        for number, row in enumerate(histories.tokens):
            tokens[number, : len(row)] = torch.tensor(row)
            documents[number, : len(row)] = 1
        states = model.document_states(tokens.to(model.device), documents.to(model.device))
        scores = model.catalog_scores(states, num_items=self.num_items)
        return torch.inference_mode()(lambda start, stop: scores.logits(slice(start, stop)))


def list_requests(text: Any) -> tuple[list[Request], bool]:
    """Return one or several requests as a list, and whether they were several.

    Args:
        text: a text, a conversation as a list of messages, or a list of texts.

    Raises:
        SeqRecError: another value.
    """
    if isinstance(text, str):
        return [text], False
    parts = list(text) if isinstance(text, Sequence) else []
    if parts and all(isinstance(part, Mapping) for part in parts):
        return [[dict(part) for part in parts]], False
    if parts and all(isinstance(part, str) for part in parts):
        return parts, True
    raise SeqRecError(f"text: {quote(text)} is no text, no list of texts and no list of messages")


def _with_history(request: Request, history: str) -> Request:
    """Return a request whose first message of the user begins with a history."""
    if isinstance(request, str):
        return f"{history}\n{request}"
    messages = [dict(message) for message in request]
    own = [message for message in messages if message.get("role") == USER]
    if own and isinstance(own[0].get("content"), str):
        own[0]["content"] = f"{history}\n{own[0]['content']}"
    return messages
