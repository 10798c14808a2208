"""The parts that an objective on text is made of: its loss, and the way from records to batches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from seqrec.tokens.text.items import check_items, names_items
from seqrec.tokens.text.stream import BuildBatch
from seqrec.training.answer_guard import AnswerGuard
from seqrec.training.steps.text_preference import TextReference


class TextSetup(NamedTuple):
    """The loss of an objective on text, and how its records become batches."""

    batch_loss: Callable[[Any, Any], Any]
    validation_sums: Callable[[Any, Any], dict[str, tuple[float, float]]]
    """Returns sum and count of each validation metric on a batch; ``loss_nats`` is one."""
    perplexity_of: str | None
    """The metric that is the cross-entropy of tokens, whose exponential is the perplexity."""
    references: Sequence[TextReference | None] = ()
    """The log-probabilities of the start, for training and for validation, where the loss has a
    reference."""
    take_epoch_metrics: Callable[[], dict[str, float]] = dict
    """Returns further metrics of the training batches of an epoch, and starts to count again."""
    guard: AnswerGuard | None = None
    """Limits on how far answers may move from those of the start."""


class Batching(NamedTuple):
    """The way from records of text to batches."""

    encode: Callable[[Any, str], Any]
    """Returns a record's example, or None."""
    measure: Callable[[Any], tuple[int, float]]
    """Returns the tokens of an example, and its weight."""
    build: BuildBatch

    def with_items(self, words: Mapping[str, int]) -> "Batching":
        """Return the way that refuses records with items that the catalog lacks.

        Args:
            words: of the tokenizer; without items among them, no text can name one.
        """
        if not names_items(words):
            return self

        def encode(record: Any, name: str) -> Any:
            check_items(record, words, name)
            return self.encode(record, name)

        return self._replace(encode=encode)
