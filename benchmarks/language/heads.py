"""The loss over all words and its gradients: time and memory beside logits held whole."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.engine.machine import forget_peak, memory_mb, peak_memory_mb
from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.rows import Row, at_most, row
from seqrec.losses.catalog import catalog_cross_entropy

NAME = Path(__file__).stem
MODULE = "benchmarks.language"
NUM_TOKENS = 4096
SIZES = {49_152: (576, "SmolLM2-135M"), 262_144: (640, "Gemma 3 270M")}
"""Words: width of the decoder, and whose they are."""
HEADS = {False: "frozen", True: "trained"}
MOST_WORDS = 100_000
"""Over more, only the harder case is measured: a head that is trained."""
MEMORY, TIME = at_most(0.2), at_most(1.1)


def measure(quick: bool) -> Iterator[Row]:
    """Rows by vocabulary and head, of both ways."""
    for num_words in SIZES:
        for is_trained, head in HEADS.items():
            if num_words > MOST_WORDS and not is_trained:
                continue
            case = {
                "num_words": num_words,
                "is_trained": is_trained,
                "num_tokens": NUM_TOKENS // 8 if quick else NUM_TOKENS,
            }
            runs = {
                system: in_fresh_process(f"{MODULE}.{NAME}", **case, is_whole=is_whole)
                for system, is_whole in (("F.cross_entropy on logits", True), ("seqrec", False))
            }
            title = f"{num_words:,} words ({SIZES[num_words][1]}), {head} head"
            yield from _rows(title, runs)


def _rows(title: str, runs: dict[str, dict[str, Any]]) -> Iterator[Row]:
    whole = next(iter(runs.values()))
    for figure, unit, target in (("seconds", "s", TIME), ("extra_mb", "MB", MEMORY)):
        for system, answer in runs.items():
            yield row(
                NAME,
                f"loss and gradients over {title}, {NUM_TOKENS:,} tokens: "
                + ("time" if unit == "s" else "extra peak memory"),
                answer["times"] if unit == "s" else [answer["extra_mb"]],
                unit,
                system=system,
                ratio=answer[figure] / whole[figure],
                target=target if system == "seqrec" else None,
                note="ratio: to F.cross_entropy",
                module=MODULE,
            )


def probe(num_words: int, num_tokens: int, is_trained: bool, is_whole: bool) -> dict[str, Any]:
    """Time the loss with its gradients in bfloat16, and the memory above its inputs."""
    torch.manual_seed(0)
    width = SIZES[num_words][0]
    dtype = torch.float32 if is_trained else torch.bfloat16
    weight = (torch.randn(num_words, width) / 25).to(dtype).requires_grad_(is_trained)
    hidden = torch.randn(num_tokens, width).to(torch.bfloat16).requires_grad_()
    labels = torch.randint(num_words, (num_tokens,))
    forget_peak()
    before, seconds = memory_mb(), []
    for _ in range(2 if num_words > MOST_WORDS else 5):
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            if is_whole:
                loss = F.cross_entropy(F.linear(hidden, weight), labels)
            else:
                loss = catalog_cross_entropy(hidden, weight, labels)
        loss.backward()
        hidden.grad = weight.grad = None
        del loss
        seconds.append(time.perf_counter() - started)
    return {
        "seconds": statistics.median(seconds[1:]),
        "times": seconds[1:],
        "extra_mb": peak_memory_mb() - before,
    }
