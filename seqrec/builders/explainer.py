"""Builds explanations of lists: counts of the data, and a language model for the words."""

from pathlib import Path

from seqrec.data.counted_transitions import CountedTransitions
from seqrec.data.prepared import PreparedData
from seqrec.explanations.wording import Wording
from seqrec.models.writer import Writer
from seqrec.ranking.explained import Explainer
from seqrec.ranking.served import Served

COUNTED_STEPS = 5
"""Distance, in titles, up to which one title counts as watched soon after another."""


def build_explainer(
    served: Served, data: str | Path | None = None, explain_with: str | Path | None = None
) -> Explainer:
    """Return the explainer of a model or baseline.

    Args:
        served: the model or baseline with its catalog.
        data: prepared folder whose training part is counted; None: no counts.
        explain_with: language model that words the facts: a run folder of a text recipe, a model
            folder, a GGUF file, a package, or a name on a hub; None: sentences by template.

    Raises:
        SeqRecError: data or a language model that cannot be read.
    """
    counted = None
    if data is not None:
        counted = CountedTransitions.count(PreparedData.open(data), COUNTED_STEPS)
    explainer = Explainer(served, counted)
    if explain_with is not None:
        writer, is_tuned = open_writer(explain_with), find_run_model(explain_with) is not None
        explainer.wording = Wording(writer, writer.name, explainer.checker, not is_tuned)
    return explainer


def open_writer(source: str | Path) -> Writer:
    """Return the language model of a run folder or of any other source."""
    return Writer.open(find_run_model(source) or source)


def find_run_model(source: str | Path) -> Path | None:
    """Return the model folder of a run; None for any other source."""
    inner = Path(source) / "model"
    return inner if (inner / "config.json").is_file() else None
