"""The interface of an objective: what its recipe builds, and what a run does with it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from seqrec.builders.pretrained import named_sources, resolve_lengths
from seqrec.config.recipe import Recipe
from seqrec.data.prepared import PreparedData
from seqrec.models.adapters import CATALOG_KEY, save_adapter
from seqrec.objectives.model_folder import write_model_folder, write_weights
from seqrec.training.callbacks import ShouldStop
from seqrec.training.fit import FitResult
from seqrec.training.trackers import NO_TRACKER

MODEL_FOLDER = "model"
"""The model folder inside a run folder."""
ADAPTER_FOLDER = "adapter"
"""The folder of the adapter inside a run folder."""


class RunOutcome(NamedTuple):
    """The outcome of training, for ``metrics.json``."""

    best_epoch: int | None
    """The epoch of the final weights; 0 if they are the start's; None without epochs."""
    validation_before: dict[str, float]
    """Validation metrics of the start; empty if it was not judged."""
    validation: dict[str, float]
    """Validation metrics of the final model; empty without validation queries."""
    details: dict[str, Any]
    """Results that this objective alone has."""
    costs: dict[str, Any]
    """Time and throughput of training."""


class Objective(ABC):
    """A recipe's model together with everything that trains and judges it.

    A run calls, in this order, ``build``, ``before``, ``fit``, ``after``, ``save`` and
    ``measure``. Where several processes train together, each of them calls the first three. A run
    that resumes calls the same: ``fit`` continues from the state that its folder holds.
    """

    recipe: Any
    prepared: Any
    """The data, of ``open_data``."""
    model: Any
    """The model that is trained, a ``PreTrainedModel``."""
    selection_metric: str
    """The validation metric that chooses the final weights."""
    protocol: str
    """One line that says how validation was done."""
    notices: Sequence[str]
    """Lines that are printed before training."""
    tracker = NO_TRACKER
    """Repeats the log of the run; the first process sets it."""

    @classmethod
    @abstractmethod
    def open_data(cls, path: str | Path) -> Any:
        """Open the data that ``--data`` names; it has a path and a provenance.

        Raises:
            SeqRecError: no such data.
        """

    @classmethod
    @abstractmethod
    def resolve(cls, recipe: Any) -> Any:
        """Return the recipe with the settings that follow from the models that it names.

        Raises:
            SeqRecError: a missing model, or one that excludes a setting.
        """

    @classmethod
    @abstractmethod
    def get_named_sources(cls, recipe: Any) -> dict[str, Any]:
        """Return fingerprints of the models and files that the model and data blocks name.

        Raises:
            SeqRecError: there is no such model or file.
        """

    @classmethod
    @abstractmethod
    def get_sources(cls, recipe: Any) -> dict[str, Any]:
        """Return fingerprints of the models and files that the objective block names."""

    @classmethod
    @abstractmethod
    def build(cls, recipe: Any, prepared: Any, rank: int = 0) -> Self:
        """Build everything that one of the run's processes needs; nothing is written.

        Args:
            recipe: of this objective.
            prepared: the data, of ``open_data``.
            rank: which of the processes this is.

        Raises:
            SeqRecError: a mistake in the recipe, the data or the models that it names.
        """

    @abstractmethod
    def before(self) -> None:
        """Prepare training, such as judging the model that it starts from."""

    @abstractmethod
    def fit(self, folder: Path, should_stop: ShouldStop | None = None) -> FitResult:
        """Train in an empty run folder, or continue from the state of an interrupted run.

        Args:
            folder: for logs and state.
            should_stop: ends training early, where training has epochs.
        """

    @abstractmethod
    def after(self, folder: Path, fit: FitResult) -> RunOutcome:
        """Choose the final weights and calibrate the model, which is saved next."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the model as it is to a model folder."""

    @abstractmethod
    def measure(self, folder: Path) -> dict[str, Any]:
        """Return further details, measured on the final model and its saved folder."""

    def build_refit(self, chosen: dict[str, Any]) -> "Objective":
        """Build the objective once more, on training and validation interactions.

        Args:
            chosen: the result of the strict run, whose choices are kept.
        """
        raise NotImplementedError(f"objective {self.recipe.objective.name} has no refit")


@dataclass
class CatalogObjective(Objective):
    """An objective on the interactions of a prepared folder; its model answers with items."""

    recipe: Recipe
    prepared: PreparedData
    model: Any
    tokenizer: PreTrainedTokenizerFast
    item_counts: Int[np.ndarray, " I"]
    """Training interactions of every item."""
    selection_metric: str
    protocol: str
    notices: Sequence[str]
    adapter: Any = field(default=None, init=False)
    """The model's decoder with its adapter, a ``peft.PeftModel``; None: it has none."""

    @classmethod
    def open_data(cls, path: str | Path) -> PreparedData:
        return PreparedData.open(path)

    @classmethod
    def resolve(cls, recipe: Recipe) -> Recipe:
        return resolve_lengths(recipe)

    @classmethod
    def get_named_sources(cls, recipe: Recipe) -> dict[str, Any]:
        return named_sources(recipe)

    def save_best(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Write the best weights so far, with which an unfinished run can be used."""
        write_weights(
            folder, weights, self.model, self.tokenizer, self.prepared.items(), self.item_counts
        )

    def save(self, folder: Path) -> None:
        self.model.eval()
        if self.adapter is not None:
            facts = {CATALOG_KEY: self.prepared.catalog_fingerprint}
            save_adapter(self.adapter, folder.parent / ADAPTER_FOLDER, facts)
        write_model_folder(
            folder, self.model, self.tokenizer, self.prepared.items(), self.item_counts
        )
