"""Conversations in a model's chat template, and the part that the assistant says.

The template is rendered twice, with the messages and with a marker in place of each: the text
around the markers is the template's own, whatever it does with roles. So the assistant's words are
found in every template, also where it marks no generation, and special tokens that a message
spells are told from the template's own.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerFast

from seqrec.errors import SeqRecError, first_line, quote

ASSISTANT, USER = "assistant", "user"
ROLES = ("system", "developer", USER, ASSISTANT, "tool")
MARKER, MARKER_END = "\ue000", "\ue001"
"""Letters of the private use area, around the number of a message."""

Message = dict[str, Any]


class Span(NamedTuple):
    """A range of letters that is learned."""

    start: int
    end: int
    weight: float


class Rendered(NamedTuple):
    """A conversation as text."""

    text: str
    spans: list[Span]
    """The assistant's words with the token that ends each turn, in order."""
    spelled: list[tuple[int, int]] = []
    """Ranges in which a message spells a special token: letters, which must not become it."""


class ChatFormat:
    """A tokenizer's chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, where: str) -> None:
        """Set the tokenizer.

        Args:
            tokenizer: with a chat template.
            where: the model in messages.

        Raises:
            SeqRecError: the tokenizer has no chat template.
        """
        if not tokenizer.chat_template:
            raise SeqRecError(
                f"{where}: its tokenizer has no chat template; use prompt and completion or text, "
                "or a model for chats"
            )
        self.tokenizer = tokenizer
        self.where = where
        added = tokenizer.added_tokens_decoder.values()
        specials = {token.content for token in added if token.special}
        self.specials = sorted(specials | set(tokenizer.all_special_tokens), key=len)
        self._spellings = re.compile("|".join(map(re.escape, reversed(self.specials))))

    def prompt(self, messages: Sequence[Message], name: str) -> Rendered:
        """Return a conversation up to the place where the assistant begins; nothing is learned.

        Raises:
            SeqRecError: as of ``render``.
        """
        plain = [_check_message(message, name) for message in messages]
        begins = {"add_generation_prompt": True}
        text = self._render(plain, name, **begins)
        return Rendered(text, [], self._find_spelled(text, self._find(text, plain, name, **begins)))

    def render(self, messages: Sequence[Message], name: str, *, num_given: int = 0) -> Rendered:
        """Return a conversation and the assistant's spans in it.

        Args:
            messages: each with role and content, and by option a weight of the turn.
            name: the example in messages.
            num_given: messages at the start of which nothing is learned.

        Raises:
            SeqRecError: a message of another form, or a role that the template lacks.
        """
        plain = [_check_message(message, name) for message in messages]
        text = self._render(plain, name)
        places = self._find(text, plain, name)
        spans = []
        for number, (message, (start, end)) in enumerate(zip(messages, places, strict=True)):
            weight = _weight(message, name)
            if message["role"] == ASSISTANT and weight > 0 and number >= num_given:
                spans.append(Span(start, self._after_end_token(text, end), weight))
        return Rendered(text, spans, self._find_spelled(text, places))

    def _find_spelled(self, text: str, places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the ranges in the contents of messages that spell a special token, in order."""
        return [
            found.span()
            for start, end in sorted(places)
            for found in self._spellings.finditer(text, start, end)
        ]

    def _find(
        self, text: str, messages: Sequence[dict[str, str]], name: str, **options: Any
    ) -> list[tuple[int, int]]:
        """Return where the content of every message begins and ends in the rendered text."""
        markers = [f"{MARKER}{number}{MARKER_END}" for number in range(len(messages))]
        pairs = zip(messages, markers, strict=True)
        marked = self._render(
            [{**message, "content": mark} for message, mark in pairs], name, **options
        )
        for message, mark in zip(messages, markers, strict=True):
            if marked.count(mark) != 1:
                raise SeqRecError(
                    f"{name}: the chat template of {self.where} has no place for the role "
                    f"{message['role']}; change the role or the template"
                )
        places, end, after = [(0, 0)] * len(messages), 0, 0
        for number in sorted(range(len(messages)), key=lambda one: marked.index(markers[one])):
            at = marked.index(markers[number])
            start, after = end + at - after, at + len(markers[number])
            frame = marked[after:].partition(MARKER)[0]
            content = messages[number]["content"]
            ends = [
                start + len(one)
                for one in (content, content.strip())
                if text.startswith(one + frame, start)
            ]
            if not ends:
                raise SeqRecError(
                    f"{name}: the chat template of {self.where} changes the message "
                    f"{quote(content)}, so that its tokens are not known; change the message"
                )
            end = ends[0]
            places[number] = (start, end)
        return places

    def _after_end_token(self, text: str, end: int) -> int:
        """Return the end of the special token that closes a turn; ``end`` if there is none."""
        rest = text[end:]
        space = len(rest) - len(rest.lstrip())
        found = [token for token in self.specials if rest.startswith(token, space)]
        return end + space + len(found[-1]) if found else end

    def _render(self, messages: list[Message], name: str, **options: Any) -> str:
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, **options))
        except Exception as error:  # a template may raise any
            raise SeqRecError(
                f"{name}: the chat template of {self.where} refuses it: {first_line(error)}"
            ) from error


def _check_message(message: Any, name: str) -> dict[str, str]:
    """Return role and content of a message alone.

    Raises:
        SeqRecError: another kind of value, an unknown role, or content that is no text.
    """
    if not isinstance(message, dict) or "role" not in message:
        raise SeqRecError(f"{name}: {quote(message)} is no message with role and content")
    role, content = message["role"], message.get("content")
    if role not in ROLES:
        raise SeqRecError(f"{name}: role {quote(role)}: choose from {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise SeqRecError(f"{name}: the content {quote(content)} of role {role} is no text")
    return {"role": role, "content": content}


def _weight(message: Message, name: str) -> float:
    weight = message.get("weight")
    weight = 1.0 if weight is None else weight
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= 1e6:
        raise SeqRecError(f"{name}: weight {quote(weight)} of a message is no number from 0 to 1e6")
    return float(weight)
