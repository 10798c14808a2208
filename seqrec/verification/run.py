"""All properties of a model, in the order of the table."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqrec.errors import SeqRecError, first_line
from seqrec.files import read_json_object
from seqrec.models.configuration import SeqRecConfig, SeqRecRewardConfig
from seqrec.models.folder import model_folder
from seqrec.models.two_heads import has_two_heads, read_fields
from seqrec.verification.decoding import check_against_llama, check_cache
from seqrec.verification.files import check_fingerprints, check_index, check_saving
from seqrec.verification.findings import DoesNotApply, Finding, Measured
from seqrec.verification.language import LanguageSubject
from seqrec.verification.next_item import NextItemSubject
from seqrec.verification.padding_rows import check_padding_rows
from seqrec.verification.reward import RewardSubject
from seqrec.verification.states import (
    check_batch_size,
    check_packing,
    check_padding_side,
    check_precision,
)
from seqrec.verification.subject import Subject
from seqrec.verification.tokens import check_histories, check_texts
from seqrec.verification.two_heads import TwoHeadSubject

FINGERPRINTS = "fingerprints"
TWO_HEADS = "two heads"
"""The kind of a language model's folder with a catalog head beside it."""
KINDS: dict[str, Callable[[Path, np.random.Generator], Subject]] = {
    SeqRecConfig.model_type: NextItemSubject,
    SeqRecRewardConfig.model_type: RewardSubject,
    TWO_HEADS: TwoHeadSubject,
}
"""The kinds of models with a catalog, by the type in their configuration."""


def list_properties(num_drawn: int, index: Path | None) -> dict[str, Callable[[Any], Measured]]:
    """Return the measurement of every property but the fingerprints', by name.

    Args:
        num_drawn: random histories, and random texts.
        index: folder of an exported index; None: one is made.
    """
    return {
        "tokens of histories": partial(check_histories, num_histories=num_drawn),
        "tokens of texts": partial(check_texts, num_texts=num_drawn),
        "item index": partial(check_index, folder=index),
        "states against Llama": check_against_llama,
        "packed rows": check_packing,
        "cached decoding": check_cache,
        "side of the padding": check_padding_side,
        "bfloat16": check_precision,
        "batch size": check_batch_size,
        "saving and loading": check_saving,
        "rows of padding": check_padding_rows,
    }


class Verification(NamedTuple):
    """The findings about a model folder."""

    folder: Path
    findings: list[Finding]


def verify_folder(
    model: str | Path, *, num_drawn: int, index: Path | None, seed: int
) -> Verification:
    """Measure every property of a model folder.

    Args:
        model: run or model folder.
        num_drawn: random histories, and random texts.
        index: folder of an exported index; None: one is made.
        seed: of all random choices.

    Raises:
        SeqRecError: no folder of a model that can be loaded.
    """
    folder = model_folder(model)
    config = read_json_object(folder / "config.json", "name the model/ folder of a run")
    if has_two_heads(folder):
        config = {**read_fields(folder), "model_type": TWO_HEADS}
    properties = list_properties(num_drawn, index)
    fingerprints = _check_fingerprints(folder, config)
    if fingerprints.result == "failed":
        reason = "the files of the folder do not belong together"
        skipped = [Finding.without_measurement(name, "not run", reason) for name in properties]
        return Verification(folder, [fingerprints, *skipped])
    subject = open_subject(folder, str(config.get("model_type")), np.random.default_rng(seed))
    properties |= subject.more_properties(num_drawn)
    found = [_measure(name, measure, subject) for name, measure in properties.items()]
    return Verification(folder, [fingerprints, *found])


def open_subject(folder: Path, model_type: str, generator: np.random.Generator) -> Subject:
    """Return the loaded model of a folder."""
    return KINDS.get(model_type, LanguageSubject)(folder, generator)


def _check_fingerprints(folder: Path, config: dict[str, Any]) -> Finding:
    """Return whether the files of a folder belong together; a language model has no catalog."""
    if config.get("model_type") not in KINDS:
        reason = "a language model has no catalog, and records no fingerprints"
        return Finding.without_measurement(FINGERPRINTS, "does not apply", reason)
    return Finding.judge(FINGERPRINTS, check_fingerprints(folder, config))


def _measure(name: str, measure: Callable[[Any], Measured], subject: Subject) -> Finding:
    """Return a property's finding; a measurement that cannot be made is a failure."""
    try:
        return Finding.judge(name, measure(subject))
    except DoesNotApply as reason:
        return Finding.without_measurement(name, "does not apply", str(reason))
    except SeqRecError as error:
        return Finding.without_measurement(name, "failed", str(error))
    except Exception as error:  # whatever breaks a path to the model is what is looked for
        return Finding.without_measurement(
            name, "failed", f"{type(error).__name__}: {first_line(error)}"
        )
