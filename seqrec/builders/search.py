"""Search of a space by Optuna; a trial depends on its seed and the trials before it only."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from seqrec.config.search import Range, SearchSpace
from seqrec.errors import SeqRecError, first_line

STARTUP_TRIALS = 5
"""Trials that are drawn at random, before earlier ones guide the search."""
DIGITS = 4
"""Significant digits of a drawn number."""


def load_optuna(verb: str) -> Any:
    """Import ``optuna``, an optional dependency.

    Raises:
        SeqRecError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise SeqRecError(
            f"{verb}: needs the package optuna; install it with pip install 'seqrec[tune]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextmanager
def study_errors_as_os_error() -> Iterator[None]:
    """Raise an ``OSError`` where the study's file cannot be read or written, as on a full disk."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise OSError(f"the study of the search: {first_line(error)}") from error


def ask(study: Any, space: SearchSpace, seed: int, number: int) -> tuple[Any, dict[str, Any]]:
    """Return trial ``number`` of a study and its values, drawn by TPE from the trial's own seed.

    Source: Bergstra et al. 2011, in Optuna's implementation.
    """
    from optuna.samplers import TPESampler

    trial_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    study.sampler = TPESampler(seed=trial_seed, n_startup_trials=STARTUP_TRIALS)
    trial = study.ask()
    return trial, {key: _suggest(trial, key, values) for key, values in space.items()}


def _suggest(trial: Any, key: str, values: Range | list[Any]) -> Any:
    if not isinstance(values, Range):
        by_label = {_label(value): value for value in values}
        return by_label[trial.suggest_categorical(key, list(by_label))]
    if values.is_whole:
        return trial.suggest_int(key, values.low, values.high, log=values.log)
    drawn = trial.suggest_float(key, values.low, values.high, log=values.log)
    return min(max(float(f"{drawn:.{DIGITS}g}"), values.low), values.high)


def start_with(study: Any, space: SearchSpace, settings: Mapping[str, Any]) -> list[str]:
    """Queue these settings as the next trial.

    Returns:
        The keys whose value is outside the space; another value is drawn for them.
    """
    params = {}
    for key, values in space.items():
        if isinstance(values, Range):
            if key in settings and values.contains(settings[key]):
                params[key] = settings[key]
        elif key in settings and settings[key] in values:
            params[key] = _label(settings[key])
    if all(trial.state.name != "WAITING" for trial in study.get_trials(deepcopy=False)):
        study.enqueue_trial(params)
    return [key for key in space if key not in params]


def _label(value: Any) -> Any:
    """Return the form of a choice in a study: itself, or a block's JSON."""
    return json.dumps(value) if isinstance(value, dict | list) else value
