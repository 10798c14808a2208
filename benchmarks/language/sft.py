"""SFT on simulated chats of mixed lengths: useful tokens a second and peak memory."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.rows import Row, at_least, at_most, row
from benchmarks.language import steps
from benchmarks.language.texts import RANK, describe, simulate_chats

NAME = Path(__file__).stem
MODULE = "benchmarks.language"
ROW_LENGTH, NUM_CHATS = 1024, 64
SETTINGS: dict[str, dict[str, Any]] = {
    "TRL, padded": {
        "per_device_train_batch_size": 4,
        "train_sampling_strategy": "group_by_length",
        "max_length": ROW_LENGTH,
    },
    "TRL, packed": {
        "per_device_train_batch_size": 1,
        "packing": True,
        "max_length": ROW_LENGTH,
    },
}
"""The faster of them is what seqrec is compared with."""
NUM_STEPS = 4
SPEED, MEMORY = at_least(2), at_most(0.6)


def measure(quick: bool) -> Iterator[Row]:
    """Rows by system, for low-rank updates."""
    yield from rows_of(NAME, f"LoRA of rank {RANK}", True, quick)


def rows_of(name: str, tuning: str, is_lora: bool, quick: bool) -> Iterator[Row]:
    """Rows of one tuning, under the name of a measurement."""
    case = {"is_lora": is_lora, "num_steps": 2 if quick else NUM_STEPS}
    runs = {
        system: [in_fresh_process(f"{MODULE}.{NAME}", system=system, **case)]
        for system in (*SETTINGS, "seqrec")
    }
    best = max(SETTINGS, key=lambda system: runs[system][0]["tokens_per_second"])
    figures = {"tokens_per_second": ("tokens/s", SPEED), "peak_mb": ("MB", MEMORY)}
    for figure, (unit, target) in figures.items():
        theirs = statistics.median(answer[figure] for answer in runs[best])
        for system, answers in runs.items():
            values = [answer[figure] for answer in answers]
            is_own = system == "seqrec"
            yield row(
                name,
                f"SFT of SmolLM2-135M, {tuning}: "
                + ("useful tokens a second" if unit == "tokens/s" else "peak memory"),
                values,
                unit,
                system=system,
                ratio=statistics.median(values) / theirs,
                target=target if is_own else None,
                note=f"ratio: to {best}; {describe(answers)}",
                module=MODULE,
            )


def probe(system: str, is_lora: bool, num_steps: int) -> dict[str, Any]:
    """Time the steps of one system."""
    chats = simulate_chats(NUM_CHATS)
    if system == "seqrec":
        lengths = [f"data.{key}={ROW_LENGTH}" for key in ("row_length", "max_length")]
        return steps.time_steps("text-sft", chats, num_steps, is_lora, *lengths).answer()
    from benchmarks.language import peers  # seqrec's process must not hold TRL

    return peers.time_steps("sft", chats, num_steps, is_lora, SETTINGS[system]).answer()
