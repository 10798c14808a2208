"""A guard on a language model's answers: how far they have moved from those of its start."""

from collections.abc import Sequence
from typing import Any

import torch

from seqrec.models.document_kernel import IMPLEMENTATION
from seqrec.training.samples import generate

KL_KEY, LENGTH_KEY = "answer_kl_nats", "answer_length_ratio"
PAST_GUARD = 1e9
"""The selection metric of an epoch beyond the limits, where the smallest is the best."""


class AnswerGuard:
    """Draws answers to a few prompts, before training and after each epoch.

    ``answer_kl_nats`` estimates the divergence of the trained model from the start, a token: the
    mean fall of the log-probability of the start's drawn answers. ``answer_length_ratio`` is the
    mean length of the trained model's drawn answers over that of the start's.
    """

    def __init__(
        self,
        prompts: Sequence[list[int]],
        *,
        max_tokens: int,
        end_token_id: int,
        max_kl_nats: float,
        max_length_change: float,
    ) -> None:
        """Set prompts and limits.

        Args:
            prompts: tokens.
            max_tokens: longest answer.
            end_token_id: the token that ends an answer.
            max_kl_nats: largest divergence a token.
            max_length_change: largest relative change of the length, in either direction.
        """
        self.prompts = prompts
        self.max_tokens = max_tokens
        self.end_token_id = end_token_id
        self.max_kl_nats = max_kl_nats
        self.max_length_change = max_length_change
        self._answers: list[list[int]] = []
        self._log_probs: list[float] = []

    def start(self, model: Any) -> None:
        """Draw the answers that later ones are compared with."""
        self._answers = self._draw(model)
        self._log_probs = self._measure_log_probs(model)

    def measure(self, model: Any) -> dict[str, float]:
        """Return the divergence a token, and the ratio of the lengths."""
        before, now = self._log_probs, self._measure_log_probs(model)
        fall = sum(one - other for one, other in zip(before, now, strict=True))
        length = max(sum(map(len, self._answers)), 1)
        own = sum(map(len, self._draw(model)))
        return {KL_KEY: fall / length, LENGTH_KEY: own / length}

    def is_within(self, measured: dict[str, float]) -> bool:
        """Test what was measured against the limits; NaN is beyond them."""
        change = 1 + self.max_length_change
        is_long_enough = 1 / change <= measured[LENGTH_KEY] <= change
        return is_long_enough and measured[KL_KEY] <= self.max_kl_nats

    def _draw(self, model: Any) -> list[list[int]]:
        return [
            generate(
                model,
                prompt,
                max_tokens=self.max_tokens,
                end_token_id=self.end_token_id,
                seed=number,
            )
            for number, prompt in enumerate(self.prompts)
        ]

    @torch.no_grad()
    def _measure_log_probs(self, model: Any) -> list[float]:
        """Return the log-probability of each of the start's answers, in nats."""
        is_training = model.training
        model.eval()
        plain = model.get_base_model() if hasattr(model, "get_base_model") else model
        plain.set_attn_implementation("sdpa")
        sums = []
        for prompt, answer in zip(self.prompts, self._answers, strict=True):
            tokens = torch.tensor([prompt + answer], device=plain.device)
            logits = plain(input_ids=tokens).logits[0, len(prompt) - 1 : -1].float()
            found = logits.log_softmax(-1).gather(1, tokens[0, len(prompt) :, None])
            sums.append(float(found.sum()))
        plain.set_attn_implementation(IMPLEMENTATION)
        model.train(is_training)
        return sums
