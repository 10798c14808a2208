"""The systems of one evaluation: their ranked lists for the same queries, and their names."""

import itertools
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from seqrec.baselines import DRAWN
from seqrec.builders.named_models import NamedModel, open_rankers
from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData
from seqrec.data.tables import is_frame
from seqrec.errors import SeqRecError
from seqrec.evaluation.comparison import SEED
from seqrec.evaluation.conditions import adapt_queries, get_event_tokens
from seqrec.evaluation.protocol import Queries, Split
from seqrec.evaluation.strata import shuffle_histories
from seqrec.evaluation.systems import EXACT, SystemLists, rank_lists, read_lists
from seqrec.jobs.evaluation_options import get_model_text
from seqrec.ranking.recommender import Recommender
from seqrec.tokens.events.times import NO_TIME_INPUT

REFIT = "refit"
"""The label of systems that were trained on the validation part, too."""


class SystemsUnderTest:
    """All systems' lists for the same queries, and the names of the systems."""

    def __init__(
        self,
        prepared: PreparedData,
        histories: Histories,
        queries: Queries,
        k: int,
        exclude_seen: bool,
        split: Split,
    ) -> None:
        self.prepared = prepared
        self.histories = histories
        self.queries = queries
        self.k = k
        self.exclude_seen = exclude_seen
        self.split = split
        self.answers: list[SystemLists] = []
        self.shuffled_answers: dict[tuple[str, int], SystemLists] = {}
        """Lists for the same histories in random order, by system and seed."""
        self.models: dict[str, str] = {}
        """The folder or baseline behind each system."""
        self._refit: dict[bool, str] = {}
        """The first system that was refit, and the first that was not."""
        self._random: set[str] = set()
        """The systems whose training draws random numbers."""
        self._names: dict[str, str] = {}
        """The name of each system, by its argument."""

    def add_model(
        self,
        model: NamedModel,
        argument: str,
        retrieval: Sequence[str],
        memory_mb: float | None,
        *,
        shuffle_test: bool,
    ) -> None:
        """Rank with a model, with all its seeds, or with a baseline."""
        taken = {answer.system for answer in self.answers}
        for seed, ranker in open_rankers(model, self.prepared, self.histories):
            source = get_model_text(model)
            name = f"{ranker.name} ({REFIT})" if ranker.is_refit else ranker.name
            self._refit.setdefault(ranker.is_refit, source)
            self._check_refit()
            ranker = ranker.with_memory_limit(memory_mb)
            ranker = ranker.with_name(_get_free_name(name, source, taken))
            self.models[ranker.name] = source
            if isinstance(ranker, Recommender) or _is_random(source):
                self._random.add(ranker.name)
            self._names[argument] = ranker.name
            queries = adapt_queries(ranker, self.queries, self.prepared)
            self.answers += rank_lists(ranker, seed, queries, self.k, retrieval, self.exclude_seen)
            if shuffle_test:
                events = get_event_tokens(ranker)
                session = events.grammar.session_index if events else None
                (answer,) = rank_lists(
                    ranker,
                    seed,
                    shuffle_histories(queries, SEED, session),
                    self.k,
                    (EXACT,),
                    self.exclude_seen,
                )
                self.shuffled_answers[ranker.name, seed] = answer

    def _check_refit(self) -> None:
        """Refuse refit systems beside strict ones, and on the part that they were trained on."""
        refit, strict = self._refit.get(True), self._refit.get(False)
        if refit is not None and self.split == "validation":
            raise SeqRecError(
                f"{refit}: refit: trained on the validation part; evaluate on --split test, or the "
                "folder strict of its run"
            )
        if refit is not None and strict is not None:
            raise SeqRecError(
                f"{refit}: refit: trained on the validation part, which {strict} was not; evaluate "
                "them apart, or the folder strict of its run"
            )

    def add_file(self, file: Any) -> None:
        """Read the lists of a recommendations file or frame."""
        answer = read_lists(file, self.prepared, self.queries, self.k, self.exclude_seen)
        taken = {answer.system for answer in self.answers}
        text = answer.system if is_frame(file) else str(file)
        name = _get_free_name(answer.system, text, taken)
        self.answers.append(answer._replace(system=name))
        self._names[text] = name

    def get_name(self, system: str | None) -> str | None:
        """Return the name of a system, given its name or its argument."""
        if system is None or any(answer.system == system for answer in self.answers):
            return system
        return self._names.get(system, system)

    def get_untrained(self) -> set[str]:
        """Return the systems without random numbers in training, whose seed variance is 0."""
        return set(self.models) - self._random

    def get_notes(self) -> list[str]:
        """Return the notes on all systems' lists, each once."""
        return list(dict.fromkeys(note for answer in self.answers for note in answer.notes))

    def get_time_input(self) -> str:
        """Return the times that the systems read, for the protocol line."""
        inputs = {answer.system: answer.time_input for answer in self.answers}
        if len(set(inputs.values())) == 1:
            return self.answers[0].time_input
        parts = [f"{name}: {text}" for name, text in inputs.items() if text != NO_TIME_INPUT]
        others = [f"others: {NO_TIME_INPUT}"] * (len(parts) < len(inputs))
        return ", ".join([*parts, *others])


def _is_random(model: str) -> bool:
    """Test whether training the system draws random numbers, so that runs differ by seed."""
    return Path(model).is_dir() or model.partition(":")[0] in DRAWN


def _get_free_name(name: str, argument: str, taken: Collection[str]) -> str:
    """Return the name, or the argument if the name is taken, with a number if that is taken too."""
    numbered = (f"{argument} ({number})" for number in itertools.count(2))
    candidates = itertools.chain((name, argument), numbered)
    return next(candidate for candidate in candidates if candidate not in taken)
