"""Answers of a language model to messages: the most likely one, or seeded draws."""

from collections.abc import Sequence
from typing import Any

import torch

from seqrec.models.language_model import LanguageModel, load_language_model
from seqrec.models.message_encoder import MessageEncoder

MAX_TOKENS = 80
TEMPERATURE = 0.7
TOP_K = 50


class Writer:
    """Writes short answers with a causal language model."""

    def __init__(self, language_model: LanguageModel, name: str, max_tokens: int) -> None:
        """Set the model.

        Args:
            language_model: with its tokenizer.
            name: the model in messages.
            max_tokens: longest answer.
        """
        self.model, self.tokenizer = language_model
        self.name = name
        self.max_tokens = max_tokens
        self._encoder = MessageEncoder(self.tokenizer, name)

    @classmethod
    def open(cls, source: Any, max_tokens: int = MAX_TOKENS) -> "Writer":
        """Return the writer of a model's folder, GGUF file, package, or name on a hub.

        Raises:
            SeqRecError: the model cannot be loaded.
        """
        return cls(load_language_model(source), str(source), max_tokens)

    def __call__(self, messages: Sequence[dict[str, str]], attempt: int = 0) -> str:
        """Return an answer; attempts after the first are drawn, each from its own seed.

        Raises:
            SeqRecError: the chat template refuses the messages.
        """
        return self.write_all([messages], attempt)[0]

    @torch.inference_mode()
    def write_all(
        self, requests: Sequence[Sequence[dict[str, str]]], attempt: int = 0
    ) -> list[str]:
        """Return the answer to each of several requests, in one batch; long ones need memory.

        Raises:
            SeqRecError: the chat template refuses some messages.
        """
        limit = getattr(self.model.config, "max_position_embeddings", None)
        tokens = [self._encoder.encode(messages) for messages in requests]
        if limit is not None:
            tokens = [one[-max(limit - self.max_tokens, 1) :] for one in tokens]
        widest, end = max(map(len, tokens)), self.tokenizer.eos_token_id
        device = self.model.device
        given = torch.tensor([[end] * (widest - len(one)) + one for one in tokens], device=device)
        is_given = torch.tensor(
            [[0] * (widest - len(one)) + [1] * len(one) for one in tokens], device=device
        )
        drawn = {"do_sample": True, "temperature": TEMPERATURE, "top_k": TOP_K}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(attempt)
            generate: Any = self.model.generate
            found = generate(
                input_ids=given,
                attention_mask=is_given,
                max_new_tokens=self.max_tokens,
                pad_token_id=end,
                **(drawn if attempt else {"do_sample": False}),
            )
        answers = self.tokenizer.batch_decode(found[:, widest:], skip_special_tokens=True)
        return [str(answer).strip() for answer in answers]
