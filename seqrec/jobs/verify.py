"""``seqrec verify``: properties that training, evaluation and serving rely on."""

import time
from pathlib import Path
from typing import Any

from seqrec.arguments import check_arguments
from seqrec.errors import SeqRecError
from seqrec.runs.random_state import keep_random_state
from seqrec.verification.run import verify_folder

MOST_DRAWN = 1_000_000


@check_arguments
def verify(
    model: str | Path,
    *,
    index: str | Path | None = None,
    histories: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure whether all ways through a model agree; nothing is written.

    Args:
        model: run or model folder, of a next-item model or a reward model.
        index: folder of an index that ``export`` wrote, to be compared with the model.
        histories: random histories, and random texts, whose tokens are compared.
        seed: of all random choices.

    Returns:
        The model folder, every property with its result (``passed``, ``failed``, ``does not
        apply``, ``not run``), deviation, bound and note, whether none failed, and the seconds.

    Raises:
        SeqRecError: no folder of a model that can be loaded, or an option out of range.
    """
    if not 1 <= histories <= MOST_DRAWN:
        raise SeqRecError(f"histories is {histories}: from 1 to {MOST_DRAWN:,}")
    if seed < 0:
        raise SeqRecError(f"seed is {seed}: at least 0")
    started = time.perf_counter()
    place = None if index is None else Path(index)
    with keep_random_state():
        folder, findings = verify_folder(model, num_drawn=histories, index=place, seed=seed)
    return {
        "model": str(folder),
        "passed": all(one.result in ("passed", "does not apply") for one in findings),
        "properties": [one._asdict() for one in findings],
        "seconds": round(time.perf_counter() - started, 1),
    }
