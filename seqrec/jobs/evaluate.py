"""``seqrec evaluate``: models and baselines side by side, over the full catalog."""

import itertools
import json
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow.parquet as pq

from seqrec.baselines import DRAWN
from seqrec.builders.named_models import open_rankers
from seqrec.builders.tuned_baselines import baselines_line, tuned_baselines
from seqrec.config.defaults import EVALUATE
from seqrec.data.catalog import genre_matrix
from seqrec.data.histories import Histories
from seqrec.data.prepared import PreparedData
from seqrec.errors import SeqRecError
from seqrec.evaluation.comparison import SEED
from seqrec.evaluation.conditions import grammar_of, queries_for
from seqrec.evaluation.protocol import (
    PER_QUERY,
    Queries,
    Split,
    evaluation_notes,
    protocol_line,
)
from seqrec.evaluation.selection import _asked
from seqrec.evaluation.strata import shuffled
from seqrec.evaluation.systems import EXACT, RETRIEVALS, Answers, from_file, ranked
from seqrec.evaluation.tables import (
    comparisons,
    judged,
    order_rows,
    per_user_table,
    strata_rows,
    table_rows,
)
from seqrec.outputs import new_folder, refuse_existing
from seqrec.reports.evaluation import evaluation_page
from seqrec.runs.evaluation_folder import PER_USER_FILE
from seqrec.runs.folder import run_of, selection_of, trained_elsewhere
from seqrec.runs.history import REPORT_FILE, environment, trained_models
from seqrec.tokens.events.grammar import NO_TIME_INPUT


def evaluate(
    models: str | Path | Sequence[str | Path] = (),
    *,
    data: str | Path,
    split: Split = EVALUATE.split,
    k: int | Sequence[int] = EVALUATE.k,
    metric: str | None = None,
    against: str | None = None,
    retrieval: Sequence[str] = EVALUATE.retrieval,
    recommendations: Sequence[str | Path] = (),
    tune_baselines: int = EVALUATE.tune_baselines,
    only: Literal["cold", "warm"] | None = None,
    users_sample: int | None = None,
    shuffle_test: bool = False,
    exclude_seen: bool = True,
    memory_mb: float | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Judge models, baselines and anybody's recommendations on the same queries.

    Args:
        models: run folders, also those of several seeds, model folders, baselines as ``NAME`` or
            ``NAME:setting=value,...``.
        data: prepared folder.
        split: whose interactions are the targets.
        k: cut-offs.
        metric: by which systems are compared; NDCG at the smallest cut-off if absent.
        against: the system that is compared with each other one; the first if absent.
        retrieval: how a model's lists are found; exact is always shown beside.
        recommendations: recommendations files, of whatever system.
        tune_baselines: settings of each baseline to try on validation; 0: as they are named.
        only: ask for targets that training never met, or for those that it met; all if absent.
        users_sample: how many users are asked, drawn at random, for a quick look; all if absent.
        shuffle_test: ask every system again with histories in an order drawn at random.
        exclude_seen: leave out what stands in the history.
        memory_mb: how much memory scores may take; a good amount for the processor if absent.
        out: folder for ``metrics.json``, ``per_user.parquet`` and ``report.html``.
        overwrite: replace ``out``.

    Returns:
        The protocol, notes, counts; what each system was named by; a row a system with the means
        over its seeds, their standard deviations and 95 % intervals; comparisons; rows by stratum
        of targets and histories; what order is worth, if asked; the baselines' settings.
    """
    models = [models] if isinstance(models, str | Path) else models
    ks = sorted({k} if isinstance(k, int) else set(k))
    metric = metric or f"ndcg@{ks[0]}"
    _check(models, recommendations, split, ks, retrieval, metric, against)
    if out is not None:
        refuse_existing(Path(out), overwrite)
    prepared = PreparedData.open(data)
    histories = prepared.histories()
    item_counts = histories.item_counts(prepared.num_items)
    asked = _asked(prepared, histories, item_counts, split, only, users_sample)
    named = list(map(str, models))
    models, tuned = tuned_baselines(
        models, prepared, histories, tune_baselines, exclude_seen=exclude_seen
    )
    everyone = Everyone(prepared, histories, asked.queries, ks[-1], exclude_seen)
    for model, as_named in zip(models, named, strict=True):
        everyone.ask(model, as_named, retrieval, memory_mb, shuffle_test=shuffle_test)
    for file in map(Path, recommendations):
        everyone.read(file)
    answers, queries = everyone.answers, asked.queries
    judge_lists = partial(
        judged,
        queries=queries,
        ks=ks,
        item_counts=item_counts,
        genres=genre_matrix(prepared.items()),
    )
    judgements = [judge_lists(answer) for answer in answers]
    protocol = protocol_line(
        prepared, split, len(queries.users), exclude_seen, _time_input(answers)
    )
    rest = [*asked.limits, *baselines_line(tuned), *selection_of(models)]
    untrained = {name for name, model in everyone.models.items() if not _is_drawn(model)}
    result: dict[str, Any] = {
        "protocol": "; ".join([protocol, *rest]),
        "notes": [
            *evaluation_notes(prepared),
            *trained_elsewhere(models, prepared),
            *dict.fromkeys(note for answer in answers for note in answer.notes),
        ],
        "catalog": prepared.num_items,
        "asked": {
            "data_fingerprint": prepared.fingerprint,
            "split": split,
            "exclude_seen": exclude_seen,
            "only": only,
        },
        "counts": {
            "queries": len(queries.users),
            "targets_without_history": queries.num_without_history,
            "targets_seen_before": queries.num_seen_targets,
            "targets_never_trained_on": int(
                (item_counts[np.concatenate(queries.targets)] == 0).sum()
            ),
        },
        "models": everyone.models,
        "metric": metric,
        "rows": table_rows(answers, judgements, queries),
        "comparisons": comparisons(
            answers, judgements, queries, metric, everyone.name_of(against), untrained
        ),
        "strata": strata_rows(answers, queries, ks, item_counts, metric),
        "baselines": tuned,
    }
    if shuffle_test:
        disordered = {key: judge_lists(answer) for key, answer in everyone.disordered.items()}
        result["order"] = order_rows(answers, judgements, disordered, queries, metric)
    if out is not None:
        with new_folder(Path(out), overwrite=overwrite) as folder:
            (folder / "metrics.json").write_text(json.dumps(result, indent=2) + "\n")
            table = per_user_table(answers, judgements, queries, prepared)
            pq.write_table(table, folder / PER_USER_FILE)
            title = f"seqrec evaluation: {Path(prepared.manifest['source']).name}"
            trained = trained_models(everyone.models)
            page = evaluation_page(title, result, trained, environment())
            (folder / REPORT_FILE).write_text(page, encoding="utf-8")
        result["out"] = str(out)
    return result


class Everyone:
    """All systems' answers to the same queries, and what the systems are called."""

    def __init__(
        self,
        prepared: PreparedData,
        histories: Histories,
        queries: Queries,
        k: int,
        exclude_seen: bool,
    ) -> None:
        self.prepared = prepared
        self.histories = histories
        self.queries = queries
        self.k = k
        self.exclude_seen = exclude_seen
        self.answers: list[Answers] = []
        self.disordered: dict[tuple[str, int], Answers] = {}
        """By system and seed, what is answered to histories out of order."""
        self.models: dict[str, str] = {}
        """By system, the folder or baseline that it is."""
        self._called: dict[str, str] = {}

    def ask(
        self,
        model: str | Path,
        as_named: str,
        retrieval: Sequence[str],
        memory_mb: float | None,
        *,
        shuffle_test: bool,
    ) -> None:
        """Let a model, all its seeds, or a baseline rank."""
        taken = {answer.system for answer in self.answers}
        for seed, ranker in open_rankers(model, self.prepared, self.histories):
            ranker.limit_memory(memory_mb)
            ranker.name = _free_name(ranker.name, str(model), taken)
            self.models[ranker.name] = str(model)
            self._called[as_named] = ranker.name
            asked = queries_for(ranker, self.queries, self.prepared)
            self.answers += ranked(ranker, seed, asked, self.k, retrieval, self.exclude_seen)
            if shuffle_test:
                events = grammar_of(ranker)
                mixed = shuffled(asked, SEED, events.grammar.session_place if events else None)
                (answer,) = ranked(ranker, seed, mixed, self.k, (EXACT,), self.exclude_seen)
                self.disordered[ranker.name, seed] = answer

    def read(self, file: Path) -> None:
        """Take in the lists of a recommendations file."""
        answer = from_file(file, self.prepared, self.queries, self.k, self.exclude_seen)
        taken = {answer.system for answer in self.answers}
        self.answers.append(answer._replace(system=_free_name(answer.system, str(file), taken)))
        self._called[str(file)] = self.answers[-1].system

    def name_of(self, system: str | None) -> str | None:
        """The name of a system that is meant by its name, or by what it was asked for by."""
        if system is None or any(answer.system == system for answer in self.answers):
            return system
        return self._called.get(system, system)


def _is_drawn(model: str) -> bool:
    """Whether a system starts from random numbers, so that one run of it has luck in it."""
    return Path(model).is_dir() or model.partition(":")[0] in DRAWN


def _time_input(answers: Sequence[Answers]) -> str:
    """What the protocol says of times, given what each system is told of them."""
    told = {answer.system: answer.time_input for answer in answers}
    if len(set(told.values())) == 1:
        return answers[0].time_input
    parts = [f"{name}: {of}" for name, of in told.items() if of != NO_TIME_INPUT]
    others = [f"others: {NO_TIME_INPUT}"] * (len(parts) < len(told))
    return ", ".join([*parts, *others])


def _free_name(name: str, longer: str, taken: Collection[str]) -> str:
    """What a system is called: its name, or what it was asked for by, where another has that."""
    numbered = (f"{longer} ({number})" for number in itertools.count(2))
    return next(one for one in itertools.chain((name, longer), numbered) if one not in taken)


def _check(
    models: Sequence[str | Path],
    recommendations: Sequence[str | Path],
    split: str,
    ks: Sequence[int],
    retrieval: Sequence[str],
    metric: str,
    against: str | None,
) -> None:
    """Refuse what no data can make right, before anything is tuned or ranked."""
    if not models and not recommendations:
        raise SeqRecError("nothing to evaluate: name a model, a baseline or --recommendations")
    meant: list[str | Path] = [
        run_of(one).resolve() if Path(one).is_dir() else str(one).removesuffix(":")
        for one in models
    ]
    meant += [Path(file).resolve() for file in recommendations]
    named = [*models, *recommendations]
    twice = [one for place, one in enumerate(named) if meant[place] in meant[:place]]
    if twice:
        raise SeqRecError(f"{twice[0]}: named twice")
    of_several = [one for one, of in zip(named, meant, strict=True) if Path(of).parent in meant]
    if of_several:
        raise SeqRecError(f"{of_several[0]}: named twice, alone and among the seeds of its folder")
    if split not in get_args(Split):
        raise SeqRecError(f"--split {split}: choose from {', '.join(get_args(Split))}")
    if not ks or ks[0] < 1:
        raise SeqRecError(f"--k {ks[0] if ks else ''}: cut-offs are 1 or more")
    for name in retrieval:
        if name not in RETRIEVALS:
            raise SeqRecError(f"--retrieval {name}: choose from {', '.join(RETRIEVALS)}")
    choices = [f"{name}@{cut_off}" for cut_off in ks for name in PER_QUERY]
    if metric not in choices:
        raise SeqRecError(f"--metric {metric}: choose from {', '.join(choices)}")
    names = [
        *(run_of(one).name if Path(one).is_dir() else str(one).partition(":")[0] for one in models),
        *(Path(file).stem for file in recommendations),
    ]
    if against is not None and against not in (*names, *map(str, named)):
        raise SeqRecError(f"--against {against}: choose from {', '.join(dict.fromkeys(names))}")
