"""Records of text as tokens: what is read, and which tokens are learned with which weight."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from transformers import PreTrainedTokenizerFast

from seqrec.errors import SeqRecError, quote
from seqrec.tokens.text.chat import ASSISTANT, USER, ChatFormat, Message, Rendered, Span
from seqrec.tokens.text.spelling import encode_rendered

KEYS = "messages, prompt and completion, or text"
MAX_WEIGHT = 1_000


class TextExample(NamedTuple):
    """A text as tokens."""

    tokens: Int[np.ndarray, " T"]
    weight: Float[np.ndarray, " T"]
    """The weight of each token as a target; 0 where it is only read."""

    @property
    def num_learned(self) -> int:
        """Tokens that are targets; the first token has nothing before it."""
        return int((self.weight[1:] > 0).sum())


class TextPair(NamedTuple):
    """Two answers to one prompt, each with the prompt's tokens before it."""

    prompt: Int[np.ndarray, " P"]
    """The tokens that both have in common."""
    chosen: Int[np.ndarray, " C"]
    """The tokens that follow; all are learned. Empty if the record has none."""
    rejected: Int[np.ndarray, " R"]
    weight: float = 1.0
    """The pair's share of the loss, relative to other pairs."""


class ExampleEncoder:
    """Turns records into tokens; what it leaves out is counted."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, where: str, max_length: int, too_long: str
    ) -> None:
        """Set the tokenizer and limits.

        Args:
            tokenizer: of the model.
            where: the model in messages.
            max_length: tokens of an example.
            too_long: truncate or drop examples that are longer.
        """
        self.tokenizer = tokenizer
        self.where = where
        self.max_length = max_length
        self.too_long = too_long
        self.counts: Counter[str] = Counter()
        """Examples that were truncated or left out, by reason."""
        self._chat: ChatFormat | None = None
        if tokenizer.eos_token is None:
            raise SeqRecError(f"{where}: its tokenizer has no end token (eos_token); set one")

    @property
    def chat(self) -> ChatFormat:
        """The chat template, which is needed for messages alone."""
        if self._chat is None:
            self._chat = ChatFormat(self.tokenizer, self.where)
        return self._chat

    def encode(self, record: Mapping[str, Any], name: str) -> TextExample | None:
        """Return a record as tokens; None if it is left out.

        Args:
            record: has ``messages``, ``prompt`` and ``completion``, or ``text``.
            name: the record in messages.

        Raises:
            SeqRecError: a record of another form.
        """
        rendered = self._render(record, name)
        if rendered is None or not rendered.spans:
            return self._leave_out("empty")
        example = self._tokenize(rendered)
        if len(example.tokens) > self.max_length:
            if self.too_long == "drop":
                return self._leave_out("too_long")
            self.counts["truncated"] += 1
            example = TextExample(*(part[: self.max_length] for part in example))
        if not example.num_learned:
            return self._leave_out("nothing_learned")
        return example

    def encode_pair(
        self, record: Mapping[str, Any], name: str, *, is_labelled: bool = False
    ) -> TextPair | None:
        """Return the answers of a record as tokens; None if it is left out.

        Args:
            record: has ``prompt``, ``chosen`` and ``rejected``, or, where each answer has a label
                instead, ``prompt``, ``completion`` and ``label``; and by option ``weight``.
            name: the record in messages.
            is_labelled: records have labels.
        """
        answers = _labelled_answers(record, name) if is_labelled else _two_answers(record, name)
        weight = _read_weight(record, name)
        if weight == 0:
            return self._leave_out("of_weight_0")
        prompt = record.get("prompt")
        sides = [self._render_answer(prompt, answer, name) for answer in answers]
        if all(side is None for side in sides):
            return self._leave_out("empty")
        if not is_labelled and any(side is None for side in sides):
            return self._leave_out("empty")
        encoded = [None if side is None else self._tokenize(side) for side in sides]
        firsts = [int((one.weight > 0).argmax()) for one in encoded if one is not None]
        known = [one.tokens for one in encoded if one is not None]
        shared = min(firsts)
        if len(known) == 2:
            same = known[0][:shared] == known[1][:shared]
            shared = shared if same.all() else int(same.argmin())
        if shared == 0:
            return self._leave_out("without_prompt")
        room = self.max_length - shared
        none = np.empty(0, dtype=np.int64)
        parts = [none if one is None else one.tokens[shared:] for one in encoded]
        if any(len(part) > room for part in parts):
            if self.too_long == "drop" or room <= 0:
                return self._leave_out("too_long")
            self.counts["truncated"] += 1
            parts = [part[:room] for part in parts]
        if len(parts) == 2 and np.array_equal(parts[0], parts[1]):
            return self._leave_out("equal_answers")
        return TextPair(known[0][:shared], parts[0], parts[1], weight)

    def prompt_tokens(self, record: Mapping[str, Any], name: str) -> list[int] | None:
        """Return what a record says before its first learned token, to be continued."""
        if isinstance(record.get("prompt"), list):
            return self.request_tokens(record["prompt"], name)
        rendered = self._render(record, name)
        if rendered is None or not rendered.spans or not rendered.spans[0].start:
            return None
        end = rendered.spans[0].start
        spelled = [part for part in rendered.spelled if part[1] <= end]
        return encode_rendered(self.tokenizer, rendered.text[:end], spelled).tokens.tolist()

    def request_tokens(self, request: str | Sequence[Message], name: str) -> list[int]:
        """Return the tokens of a request that the assistant is to answer.

        Args:
            request: the messages of a conversation, or a text: one message of the user if the
                model has a chat template, else it is read as it is.
            name: the request in messages.

        Raises:
            SeqRecError: messages of another form, or a role that the template lacks.
        """
        if isinstance(request, str) and not self.tokenizer.chat_template:
            return encode_rendered(self.tokenizer, self._with_start(request), []).tokens.tolist()
        messages = [{"role": USER, "content": request}] if isinstance(request, str) else request
        rendered = self.chat.prompt(messages, name)
        return encode_rendered(self.tokenizer, rendered.text, rendered.spelled).tokens.tolist()

    def describe_counts(self) -> list[str]:
        """Return lines about what was truncated and left out, and the limit."""
        return [
            f"{count:,} examples {reason.replace('_', ' ')}"
            + (f" (data.max_length {self.max_length:,})" if reason in LENGTH_REASONS else "")
            for reason, count in sorted(self.counts.items())
        ]

    def _leave_out(self, reason: str) -> Any:
        """Count an example that is left out; return None in its place."""
        self.counts[reason] += 1
        return None

    def _render(self, record: Mapping[str, Any], name: str) -> Rendered | None:
        if record.get("messages") is not None:
            messages = _messages(record["messages"], "messages", name)
            return self.chat.render(messages, name) if messages else None
        if record.get("prompt") is not None and record.get("completion") is not None:
            return self._render_answer(record["prompt"], record["completion"], name)
        if isinstance(record.get("text"), str):
            text = self._with_start("")
            return _whole(text, record["text"], self.tokenizer.eos_token)
        raise SeqRecError(f"{name}: has the keys {', '.join(map(str, record))}; needs {KEYS}")

    def _render_answer(self, prompt: Any, answer: Any, name: str) -> Rendered | None:
        """Return prompt and answer as text; the answer's words are learned."""
        if answer is None:
            return None
        if isinstance(answer, str) and isinstance(prompt, str):
            return _whole(self._with_start(prompt), answer, self.tokenizer.eos_token)
        given = [] if prompt is None else _messages(prompt, "prompt", name)
        if isinstance(answer, str):
            answer = [{"role": ASSISTANT, "content": answer}]
        messages = _messages(answer, "the answer", name)
        if not messages:
            return None
        if not given:
            given, messages = messages[:-1], messages[-1:]
        return self.chat.render([*given, *messages], name, num_given=len(given))

    def _with_start(self, text: str) -> str:
        """Return text after the start token, where the tokenizer puts one before texts."""
        tokens = self.tokenizer("a")["input_ids"]
        start = self.tokenizer.bos_token
        return start + text if start and tokens[0] == self.tokenizer.bos_token_id else text

    def _tokenize(self, rendered: Rendered) -> TextExample:
        """Return the tokens of a text; those within a span are learned."""
        tokens, places = encode_rendered(self.tokenizer, rendered.text, rendered.spelled)
        weight = np.zeros(len(places), dtype=np.float32)
        for start, end, value in rendered.spans:
            is_within = (places[:, 0] >= start) & (places[:, 1] <= end)
            weight[is_within & (places[:, 1] > places[:, 0])] = value
        return TextExample(tokens, weight)


LENGTH_REASONS = ("truncated", "too_long", "nothing_learned")


def _whole(prompt: str, answer: str, end: str) -> Rendered | None:
    """Return an answer and the end token after a prompt; None if it is empty."""
    text = prompt + answer + end
    return Rendered(text, [Span(len(prompt), len(text), 1.0)]) if answer else None


def _messages(value: Any, key: str, name: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise SeqRecError(f"{name}: {key} is {quote(value)}, not a list of messages")
    return value


def _two_answers(record: Mapping[str, Any], name: str) -> list[Any]:
    missing = [key for key in ("chosen", "rejected") if key not in record]
    if missing:
        raise SeqRecError(f"{name}: has no {missing[0]}; needs prompt, chosen and rejected")
    return [record["chosen"], record["rejected"]]


def _read_weight(record: Mapping[str, Any], name: str) -> float:
    weight = record.get("weight")
    if weight is None:
        return 1.0
    is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not is_number or not 0 <= weight <= MAX_WEIGHT or not math.isfinite(weight):
        raise SeqRecError(
            f"{name}: weight is {quote(weight)}, not a number from 0 to {MAX_WEIGHT:,}"
        )
    return float(weight)


def _labelled_answers(record: Mapping[str, Any], name: str) -> list[Any]:
    label = record.get("label")
    if not isinstance(label, bool) or record.get("completion") is None:
        raise SeqRecError(f"{name}: needs prompt, completion and a label, true or false")
    return [record["completion"], None] if label else [None, record["completion"]]
