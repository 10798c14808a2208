"""Teachers of distillation: models of the data's catalog that read the student's tokens."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from seqrec.builders.named_models import (
    check_strict,
    check_targets_are_unread,
    open_item_recommender,
)
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.models.folder import model_folder
from seqrec.models.weights import folder_fingerprint
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.streams.windows import WindowKind
from seqrec.tokens.tokenizer import ItemTokens

TEACHERS_KEY = "objective.teachers"


def open_teachers(
    paths: Sequence[str | Path],
    prepared: PreparedData,
    *,
    tokens: ItemTokens | None = None,
    max_length: int = 1,
    windows: WindowKind = "prefixes",
    key: str = TEACHERS_KEY,
) -> list[Recommender]:
    """Open the teachers and check that they fit the data and one another.

    Args:
        paths: run or model folders.
        prepared: the data.
        tokens: the student's tokens; those of the first teacher if absent.
        max_length: items of a window; each teacher must read at least as many.
        windows: kind of the training windows.
        key: the setting that names the teachers, for errors.

    Raises:
        SeqRecError: a missing model, another catalog or tokenizer, a teacher that reads fewer
            items, or one that would read the targets in such windows.
    """
    teachers = [
        open_item_recommender(model_folder(path, key), prepared, "distillation") for path in paths
    ]
    for path, teacher in zip(paths, teachers, strict=True):
        check_strict(teacher, f"{key} {path}")
        longest = teacher.model.config.max_length
        if teacher.tokens != (tokens or teachers[0].tokens):
            whose = "that of the student" if tokens else f"that of {paths[0]}"
            raise SeqRecError(f"{key} {path}: its tokenizer differs from {whose}; name another")
        check_targets_are_unread(teacher.model, windows, f"{key} {path}")
        if longest < max_length:
            raise SeqRecError(
                f"{key} {path}: reads {longest} items of a history, fewer than {max_length} "
                "(data.max_length); name another or lower it"
            )
    return teachers


def check_reads_forwards(paths: Sequence[str | Path], teachers: Sequence[Recommender]) -> None:
    """Refuse bidirectional teachers of a student that continues histories.

    Raises:
        SeqRecError: a teacher reads later items.
    """
    for path, teacher in zip(paths, teachers, strict=True):
        if not teacher.model.config.causal:
            raise SeqRecError(
                f"{TEACHERS_KEY} {path}: also reads the items after a position (model.causal "
                "false): with objective.on_policy it would read the replaced items; name another"
            )


def fingerprints(teachers: Sequence[str | Path], key: str = TEACHERS_KEY) -> list[str]:
    """Return the fingerprints of all teachers, sorted: their mean does not depend on the order."""
    return sorted(folder_fingerprint(model_folder(path, key)) for path in teachers)


def mean_strength(teachers: Sequence[Recommender]) -> float | None:
    """Return the mean strength of the teachers' transition priors; None if they have none.

    A student whose prior has this strength learns what the teachers' decoders add to theirs.
    """
    priors = [teacher.model.transition_prior for teacher in teachers]
    strengths = [prior.strength if prior is not None else 0.0 for prior in priors]
    return statistics.fmean(strengths) or None
