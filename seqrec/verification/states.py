"""Properties of hidden states: they do not depend on how histories share a batch."""

from collections.abc import Sequence

import numpy as np
import torch

from seqrec.tokens.streams.placement import pack_rows
from seqrec.verification.findings import Measured
from seqrec.verification.rows import (
    History,
    Rows,
    largest_difference,
    lay_out,
    split_states,
)
from seqrec.verification.subject import Subject

BATCH = 64


@torch.inference_mode()
def check_packing(subject: Subject) -> Measured:
    """Compare states of histories in shared rows with those of each history alone."""
    histories = _draw(subject, subject.num_drawn, has_longest=True)
    lengths = np.array([len(one["input_ids"]) for one in histories])
    width = int(2 * lengths.max())
    rows = pack_rows(lengths, width)
    packed = lay_out(histories, rows, subject.fills, width=width)
    order = [member for members in rows for member in members]
    alone = _states_alone(subject, [histories[number] for number in order])
    ends = [state[-1] for state in alone]
    differences = (
        largest_difference(_states(subject, packed), alone),
        largest_difference(list(subject.end_states(packed).float().numpy()), ends),
    )
    return Measured(
        max(differences),
        subject.float_bound,
        f"{len(histories)} histories in {len(rows)} rows",
    )


@torch.inference_mode()
def check_padding_side(subject: Subject) -> Measured:
    """Compare states of histories padded on the left, and on the right, with unpadded ones."""
    histories = _draw(subject, subject.num_drawn)
    alone = _states_alone(subject, histories)
    width = max(len(one["input_ids"]) for one in histories)
    single = [[number] for number in range(len(histories))]
    left = lay_out(histories, single, subject.fills, width=width, side="left")
    right = lay_out(histories, single, subject.fills, width=width)
    difference = max(largest_difference(_states(subject, one), alone) for one in (left, right))
    return Measured(difference, subject.float_bound, f"{len(histories)} histories, both sides")


@torch.inference_mode()
def check_precision(subject: Subject) -> Measured:
    """Compare states under autocast to bfloat16, as training may use it, with float32's."""
    histories = _draw(subject, subject.num_drawn)
    width = max(len(one["input_ids"]) for one in histories)
    rows = lay_out(histories, [[n] for n in range(len(histories))], subject.fills, width=width)
    exact = np.concatenate(_states(subject, rows))
    with torch.autocast(subject.model.device.type, torch.bfloat16):
        low = np.concatenate(_states(subject, rows))
    difference = float(np.sqrt(np.mean((low - exact) ** 2) / np.mean(exact**2)))
    return Measured(difference, subject.bfloat16_bound, f"states of {len(histories)} histories")


@torch.inference_mode()
def check_batch_size(subject: Subject) -> Measured:
    """Compare scores of a batch of 64 histories with those of batches of one."""
    histories = _draw(subject, BATCH)
    together = subject.scores(histories)
    alone = np.concatenate([subject.scores([one]) for one in histories])
    difference = largest_difference(list(together), list(alone))
    return Measured(difference, subject.float_bound, f"scores of {together.shape[1]:,} items")


def _draw(subject: Subject, number: int, *, has_longest: bool = False) -> list[History]:
    """Return inputs of random short histories; the first may be as long as the model reads."""
    most = min(subject.longest, subject.short)
    lengths = subject.generator.integers(1, most + 1, number).tolist()
    first = subject.longest if has_longest else most
    return subject.draw_paths([first, *lengths[1:]], ()).serving


def _states(subject: Subject, rows: Rows) -> list[np.ndarray]:
    return split_states(subject.states(subject.model, rows), rows.documents)


def _states_alone(subject: Subject, histories: Sequence[History]) -> list[np.ndarray]:
    """Return the states of histories, each in a separate batch without padding."""
    found = []
    for history in histories:
        width = len(history["input_ids"])
        found += _states(subject, lay_out([history], [[0]], subject.fills, width=width))
    return found
