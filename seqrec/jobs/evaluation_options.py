"""Checks of the options of ``evaluate`` that need no data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from seqrec.builders.named_models import NamedModel
from seqrec.data.tables import is_frame
from seqrec.errors import SeqRecError
from seqrec.evaluation.protocol import PER_QUERY, Split
from seqrec.evaluation.systems import FRAME, RETRIEVALS
from seqrec.ranking.ranker import Ranker
from seqrec.ranking.recommender import Recommender
from seqrec.retrieval.stores.urls import is_store, mask_url, parse_address
from seqrec.runs.provenance import run_of


def check_options(
    models: Sequence[NamedModel],
    recommendations: Sequence[Any],
    split: str,
    ks: Sequence[int],
    retrieval: Sequence[str],
    metric: str,
    against: str | None,
) -> None:
    """Refuse invalid options before anything is tuned or ranked.

    Args:
        models: as in ``evaluate``, like the others.
        ks: the sorted cut-offs.

    Raises:
        SeqRecError: an invalid option, or a system that is named twice.
    """
    for one in recommendations:
        if not isinstance(one, str | Path) and not is_frame(one):
            raise SeqRecError(
                f"recommendations: a {type(one).__name__} is no list; name files or give frames"
            )
    if not models and not recommendations:
        raise SeqRecError("nothing to evaluate: name a model, a baseline or --recommendations")
    _refuse_duplicates(
        [one for one in models if not isinstance(one, Ranker)],
        [one for one in recommendations if not is_frame(one)],
    )
    if split not in get_args(Split):
        raise SeqRecError(f"--split {split}: choose from {', '.join(get_args(Split))}")
    if not ks or ks[0] < 1:
        raise SeqRecError(f"--k {ks[0] if ks else ''}: cut-offs are 1 or more")
    for name in retrieval:
        if is_store(name):
            parse_address(name, "--retrieval")
        elif name not in RETRIEVALS:
            raise SeqRecError(
                f"--retrieval {mask_url(name)}: choose from {', '.join(RETRIEVALS)}, or name a "
                "store, such as lancedb:PATH"
            )
    choices = [f"{name}@{cut_off}" for cut_off in ks for name in PER_QUERY]
    if metric not in choices:
        raise SeqRecError(f"--metric {metric}: choose from {', '.join(choices)}")
    files = [FRAME if is_frame(one) else str(one) for one in recommendations]
    arguments = [*map(get_model_text, models), *files]
    names = [*map(_get_system_name, models), *(Path(file).stem for file in files)]
    if against is not None and against not in (*names, *arguments):
        raise SeqRecError(f"--against {against}: choose from {', '.join(dict.fromkeys(names))}")


def get_model_text(model: NamedModel) -> str:
    """Return the text of a model's argument: its folder, or its name if it has none."""
    if isinstance(model, Recommender) and model.folder is not None:
        return str(model.folder)
    return model.name if isinstance(model, Ranker) else str(model)


def _get_system_name(model: NamedModel) -> str:
    """Return the name that a model's row may have."""
    if isinstance(model, Ranker):
        return model.name
    return run_of(model).name if Path(model).is_dir() else str(model).partition(":")[0]


def _refuse_duplicates(models: Sequence[str | Path], recommendations: Sequence[str | Path]) -> None:
    """Refuse a system that is named twice, alone or as one of the seeds of its folder."""
    resolved: list[str | Path] = [
        run_of(one).resolve() if Path(one).is_dir() else str(one).removesuffix(":")
        for one in models
    ]
    resolved += [Path(file).resolve() for file in recommendations]
    arguments = [*models, *recommendations]
    for number, argument in enumerate(arguments):
        if resolved[number] in resolved[:number]:
            raise SeqRecError(f"{argument}: named twice; leave one out")
    for argument, path in zip(arguments, resolved, strict=True):
        if Path(path).parent in resolved:
            raise SeqRecError(
                f"{argument}: named twice, alone and among the seeds of its folder; leave one out"
            )
