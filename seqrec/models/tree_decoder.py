"""Decoding of a language model along a tree of allowed tokens."""

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from seqrec.models.language_model import LanguageModel, load_language_model
from seqrec.models.message_encoder import MessageEncoder

LINE_END = "\n"
MIN_SHARED = 16
"""Tokens that two prompts in a row begin with, so that what the model read of them is kept."""
NO_LIMIT = 1 << 30


class Tree(Protocol):
    """Tokens that may follow, by node; the root is node 0."""

    def list_next(self, node: int) -> dict[int, int]:
        """Return the tokens that may follow a node, each with the node to which it leads."""

    def get_sequence(self, node: int) -> int | None:
        """Return the number of the sequence that ends at a node; None within one."""


class TreeDecoder:
    """Writes the sequences of a tree that are most likely, token by token."""

    def __init__(self, language_model: LanguageModel, name: str, fingerprint: str = "") -> None:
        """Set the model, its name in messages, and the hash of its files."""
        self.model, self.tokenizer = language_model
        self.name = name
        self.fingerprint = fingerprint
        self.limit = getattr(self.model.config, "max_position_embeddings", None) or NO_LIMIT
        self._encoder = MessageEncoder(self.tokenizer, name)
        self._lock = threading.Lock()
        self._previous: list[int] = []
        self._beginning: tuple[list[int], Any] | None = None

    @classmethod
    def open(cls, source: Any, name: str, fingerprint: str = "") -> "TreeDecoder":
        """Return the decoder of a model's folder, GGUF file, package, or name on a hub.

        Args:
            source: where the model is.
            name: its name in readings and errors.
            fingerprint: the hash of its files.

        Raises:
            SeqRecError: the model cannot be loaded.
        """
        return cls(load_language_model(source), name, fingerprint)

    def encode_lines(self, lines: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each line with its end; special tokens in a line are letters."""
        whole = [line + LINE_END for line in lines]
        coded = self.tokenizer(whole, add_special_tokens=False, split_special_tokens=True)
        return list(coded["input_ids"])

    @torch.inference_mode()
    def decode(
        self, messages: Sequence[dict[str, str]], tree: Tree, is_last: Callable[[int], bool]
    ) -> None:
        """Write sequences of a tree; one for which the model has no room is left unfinished.

        Args:
            messages: the prompt; the beginning of a long one is cut off.
            tree: what may be written; ``is_last`` may take sequences out of it.
            is_last: called with the number of each sequence; returns whether it is the last one.

        Raises:
            SeqRecError: the chat template refuses the messages.
        """
        prompt = self._encoder.encode(messages)[-max(self.limit // 2, 1) :]
        with self._lock:
            logits, cache = self._read(prompt)
            node, waiting = 0, list[int]()
            for _ in range(self.limit - len(prompt)):
                allowed = tree.list_next(node)
                if not allowed:
                    return
                tokens = list(allowed)
                if len(tokens) > 1 and waiting:
                    logits, waiting = self._feed(waiting, cache), []
                best = int(logits[tokens].argmax()) if len(tokens) > 1 else 0
                waiting.append(tokens[best])
                node = allowed[tokens[best]]
                number = tree.get_sequence(node)
                if number is not None:
                    if is_last(number):
                        return
                    node = 0

    def _read(self, prompt: list[int]) -> tuple[Tensor, Any]:
        """Return the logits after a prompt, and what the model keeps of it.

        What it keeps of the beginning that prompts share is computed once.
        """
        num_shared = _count_shared(self._previous, prompt[:-1])
        self._previous = prompt
        if self._beginning is None or self._beginning[0] != prompt[:-1][: len(self._beginning[0])]:
            self._beginning = None
            if num_shared >= MIN_SHARED:
                cache = self._new_cache()
                self._feed(prompt[:num_shared], cache)
                self._beginning = prompt[:num_shared], cache
        if self._beginning is None:
            cache = self._new_cache()
            return self._feed(prompt, cache), cache
        known, kept = self._beginning
        cache = copy.deepcopy(kept)
        return self._feed(prompt[len(known) :], cache), cache

    def _feed(self, tokens: list[int], cache: Any) -> Tensor:
        """Return the logits after further tokens, which the cache then holds too."""
        given = torch.tensor([tokens], device=self.model.device)
        found = self.model(input_ids=given, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return found.logits[0, -1]

    def _new_cache(self) -> Any:
        return DynamicCache(config=self.model.config)


def _count_shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the number of tokens that both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
