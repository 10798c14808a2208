"""DPO by LoRA on two pairs, whose texts have about 210 tokens: the time of a step."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engine.measure import in_fresh_process
from benchmarks.engine.rows import Row, at_least, row
from benchmarks.language import steps
from benchmarks.language.texts import describe, simulate_pairs

NAME = Path(__file__).stem
MODULE = "benchmarks.language"
NUM_WORDS, NUM_PAIRS = 103, 2
"""Words of a prompt and of each answer: about a token each."""
SETTINGS: dict[str, dict[str, Any]] = {
    "TRL": {},
    "TRL, reference computed once": {"precompute_ref_log_probs": True},
}
NUM_STEPS = 6
SPEED = at_least(2)


def measure(quick: bool) -> Iterator[Row]:
    """A row a system."""
    num_steps = 2 if quick else NUM_STEPS
    runs = {
        system: in_fresh_process(f"{MODULE}.{NAME}", system=system, num_steps=num_steps)
        for system in (*SETTINGS, "seqrec")
    }
    best = min(SETTINGS, key=lambda system: runs[system]["step_seconds"])
    for system, answer in runs.items():
        yield row(
            NAME,
            f"DPO of SmolLM2-135M by LoRA, {NUM_PAIRS} pairs of 210 tokens: a step",
            [answer["step_seconds"]],
            "s",
            system=system,
            ratio=runs[best]["step_seconds"] / answer["step_seconds"],
            target=SPEED if system == "seqrec" else None,
            note=f"ratio: {best} over this; {describe([answer])}",
            module=MODULE,
        )


def probe(system: str, num_steps: int) -> dict[str, Any]:
    """Time the steps of one system, always on the same pairs."""
    pairs = simulate_pairs(NUM_PAIRS, NUM_WORDS)
    if system == "seqrec":
        records = pairs * num_steps
        row = f"data.row_length={6 * NUM_WORDS + 60}"
        return steps.time_steps("text-dpo", records, num_steps, True, row).answer()
    from benchmarks.language import peers  # seqrec's process must not hold TRL

    settings = {"per_device_train_batch_size": NUM_PAIRS, **SETTINGS[system]}
    return peers.time_steps("dpo", pairs * num_steps, num_steps, True, settings).answer()
