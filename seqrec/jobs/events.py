"""From the ``data.events`` block to a grammar, whose values the training part tells."""

import numpy as np
from jaxtyping import Int

from seqrec.config.events import BehaviourConfig, EventsConfig
from seqrec.data.catalog import item_values
from seqrec.data.histories import Blocks
from seqrec.data.prepared import PreparedData
from seqrec.data.splits import TRAIN
from seqrec.errors import SeqRecError
from seqrec.jobs.build import count_items
from seqrec.tokens.events import EventCoder, log_values
from seqrec.tokens.grammar import Behaviour, Grammar, bucket_names, is_missing, value_text

KEY = "data.events"


def fit_coder(config: EventsConfig, prepared: PreparedData) -> EventCoder:
    """The coder of a grammar, whose behaviours have the values that they have in training.

    Raises:
        SeqRecError: a column that is not there or holds nothing, words where there are buckets,
            more values than are allowed, times out of order.
    """
    items = prepared.items()
    ordered = sorted(config.behaviours, key=lambda one: one.place)  # after, before
    grammar = Grammar(tuple(map(_without_values, ordered)), config.target_time)
    blocks = event_blocks(prepared, grammar)
    is_trained = count_items(prepared) > 0
    fitted = []
    for behaviour, settings in zip(grammar.behaviours, ordered, strict=True):
        seen = _Seen(behaviour, settings.max_values)
        if behaviour.source == "item":
            seen.add(item_values(items, behaviour.key, _key(behaviour))[is_trained])
        else:
            _add_training(seen, blocks)
        fitted.append(seen.fitted())
    return EventCoder.of(Grammar(tuple(fitted), config.target_time), items, KEY)


def event_blocks(prepared: PreparedData, grammar: Grammar, *more: str) -> Blocks:
    """The log with the columns that a grammar reads, and others.

    Raises:
        SeqRecError: a column that is not there.
    """
    for behaviour in grammar.behaviours:
        if behaviour.column is not None:
            try:
                prepared.blocks([behaviour.column], has_words=True)
            except SeqRecError as error:
                raise SeqRecError(f"{_key(behaviour)}: {error}") from error
    return prepared.blocks(list(dict.fromkeys([*more, *grammar.columns])), has_words=True)


def _without_values(config: BehaviourConfig) -> Behaviour:
    sources = {"column": config.column, "item": config.item, "time": config.time}
    source, key = next((name, key) for name, key in sources.items() if key is not None)
    return Behaviour(
        name=config.name,
        source=source,  # type: ignore[arg-type]
        key=str(key),
        edges=None if config.buckets is None else tuple(config.buckets),
        values=(),
        place=config.place,
        dropout=config.open_share,
        is_learned=config.is_learned,
    )


def _key(behaviour: Behaviour) -> str:
    return f"{KEY}: behaviour {behaviour.name}"


def _add_training(seen: "_Seen", blocks: Blocks) -> None:
    for block in range(len(blocks)):
        histories = blocks.read([block])
        values = log_values(seen.behaviour, histories)[histories.split == TRAIN]
        if seen.behaviour.key == "gap" and seen.behaviour.source == "time" and (values < 0).any():
            raise SeqRecError(
                f"{_key(seen.behaviour)}: {int((values < 0).sum()):,} events of {blocks.file} are "
                "earlier than the one before them; prepare without --order, or leave gap out"
            )
        seen.add(values)


class _Seen:
    """Values of a behaviour, as far as they were met."""

    def __init__(self, behaviour: Behaviour, max_values: int) -> None:
        self.behaviour = behaviour
        self.max_values = max_values
        self.values: set[float | str] = set()
        self.buckets: set[int] = set()

    def add(self, values: np.ndarray) -> None:
        known = [value for value in np.unique(values).tolist() if not is_missing(value)]
        if self.behaviour.edges is None:
            self.values.update(known)
            count = len(self.values)
        else:
            if values.dtype.kind != "f":
                raise SeqRecError(
                    f"{_key(self.behaviour)}: buckets are of numbers, and column "
                    f"{self.behaviour.key!r} holds words"
                )
            self.buckets.update(self._places(np.array(known)).tolist())
            count = len(self.buckets)
        if count > self.max_values:
            raise SeqRecError(
                f"{_key(self.behaviour)}: has more than {self.max_values} values in training; "
                "give buckets, or a larger max_values"
            )

    def _places(self, values: np.ndarray) -> Int[np.ndarray, " N"]:
        return np.searchsorted(self.behaviour.edges or (), values, side="right")

    def fitted(self) -> Behaviour:
        """The behaviour with what was met, in order."""
        edges = self.behaviour.edges
        if edges is None:
            values = [value_text(value) for value in sorted(self.values)]  # type: ignore[type-var]
        else:
            names = bucket_names(edges)
            values = [names[place] for place in sorted(self.buckets)]
        if not values:
            raise SeqRecError(f"{_key(self.behaviour)}: nothing is known of it in training")
        return self.behaviour.with_values(values)
