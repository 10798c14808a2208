"""The tables of ``benchmarks/README.md``, from the files of results.

    python -m benchmarks.engine.page

The text between the two markers is replaced; the prose around them stays.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.engine.plots import CATALOGS_FILE, PEERS_FILE, SIZES_FILE
from benchmarks.engine.rows import RESULTS, read

START, END = "<!-- results -->", "<!-- /results -->"
FILES = {
    "quality.json": None,
    "events.json": None,
    "preference.json": None,
    "reinforcement.json": None,
    "distillation.json": None,
    "language.json": None,
    "search.json": None,
    "stores.json": None,
    "serving.json": SIZES_FILE,
    "engine.json": CATALOGS_FILE,
    "peers.json": PEERS_FILE,
}
"""Files of results, and the plot of each, if any."""
TITLES = {
    "products": "Matrix products in a step",
    "packing": "Packed against padded",
    "precision": "Precision",
    "compile": "Compilation",
    "catalogs": "Catalogs",
    "ranking": "Ranking",
    "prepare": "Preparing a log",
    "resources": "Time and memory of verbs over users and items",
    "extremes": "Extreme inputs",
    "stream": "Streaming",
    "quality": "Time to quality",
    "lazy": "Lazy AdamW against AdamW",
    "ml-1m": "The best recipe of MovieLens-1M A beside tuned baselines",
    "beauty": "The best recipe of Beauty beside tuned baselines",
    "counted": "Baselines that count transitions",
    "later": "Global-time splits",
    "priors": "Transition priors beside a trained decoder",
    "timed": "Times as input (T), leave-one-out, users 1-2999 of MovieLens-1M",
    "growing": "A catalog that grows by 1,000 titles",
    "weeks": "A week of new data",
    "cold": "Cold-start items",
    "ablations": "Ablations",
    "rectools-softmax": "Training, full softmax, beside RecTools",
    "rectools-sampled": "Training, sampled softmax, beside RecTools",
    "rectools-recommend": "Ranking, beside RecTools",
    "recbole": "Training with validation, beside RecBole",
    "reinforce": "An update of reinforcement learning",
    "trl": "An update of reinforcement learning, beside TRL",
    "ratings": "Past ratings as features",
    "wanted": "Conditioned on items that will be liked",
    "times": "Gaps and sessions, MovieLens-100K",
    "times-later": "Gaps and sessions, global-time split",
    "genres": "Genres and decades",
    "costs": "Preferences: cost",
    "liked": "Preferences: pairs, and items liked later",
    "likes": "Reward model",
    "slates": "Slates rewarded by a reward model",
    "hacked": "A reward made to be hacked",
    "plans": "Plans before slates",
    "students": "Distillation: teachers and students",
    "serving": "Distillation: serving costs",
    "epochs": "Distillation: cost of an epoch",
    "memory": "Distillation: memory",
    "heads": "Language models: the loss of the word head",
    "sft": "Language models: SFT by LoRA, beside TRL",
    "dpo": "Language models: DPO by LoRA, beside TRL",
    "full": "Language models: SFT of all weights, beside TRL",
    "catalog_head": "Language models: the catalog head on a decoder of transformers",
    "items": "Language models: histories of MovieLens-1M",
    "mixed": "Language models: texts that name items of MovieLens-1M",
    "llama_cpp": "Language models: through GGUF in llama.cpp",
    "unseen-tags": "Search: tags that training never named",
    "seen-tags": "Search: tags of the items",
    "conditions": "Search: genres and decades",
    "turns": "Search: turns of conversations",
    "remembered": "Search: films half remembered",
    "evening": "Search: one sentence end to end",
    "no-request": "Search: lists without a request",
    "foreign": "Search: requests without a good answer",
    "readings": "Search: readings of requests, by the lexicon and a language model",
    "store-lists": "Vector stores: lists of MovieLens-1M",
    "store-million": "Vector stores: a million simulated titles",
    "throughput": "Server: requests a second",
    "titles-1e4": "Server: latency over 10,000 titles",
    "titles-1e5": "Server: latency over 100,000 titles",
    "titles-1e6": "Server: latency over a million titles",
    "titles-1e7": "Server: latency over ten million titles",
    "endurance": "Server: a long load, every answer checked",
    "reloads": "Server: reloads under load",
    "ends": "Server: SIGTERM under load",
    "store-million-ann": "Vector stores: a million simulated titles under an index",
    "screening": "Objectives, pairs and SFT shares on validation",
}
HEAD = ("work", "system", "value", "ratio", "target", "met", "spread", "note")
MET = {True: "yes", False: "**no**", None: ""}
COMMIT_LETTERS = 9


def write_page(results: Path, page: Path) -> None:
    """Put the tables of a folder of results between the markers of a page."""
    text = page.read_text(encoding="utf-8")
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{page}: must hold {START} and, after it, {END}")
    body = "\n\n".join(
        _section(results / name, plot, page)
        for name, plot in FILES.items()
        if (results / name).exists()
    )
    page.write_text(f"{before}{START}\n\n{body}\n\n{END}{after}", encoding="utf-8")


def _section(file: Path, plot: str | None, page: Path) -> str:
    """The machine, the plot, and a table a measurement."""
    results = read(file)
    parts = [_machine_line(results)]
    if plot is not None and (file.parent / plot).exists():
        parts.append(f"![{file.stem}]({(file.parent / plot).relative_to(page.parent).as_posix()})")
    order = [name for name in TITLES if any(row["name"] == name for row in results["rows"])]
    rows = sorted(results["rows"], key=lambda row: order.index(row["name"]))
    for name, group in groupby(rows, key=lambda row: row["name"]):
        parts.append(_table(name, list(group)))
    return "\n\n".join(parts)


def _machine_line(results: dict[str, Any]) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']:g} GB"
        f" ({', '.join(machine['flags'])}), {machine['threads']} threads; {versions}."
    )


def _table(name: str, rows: Sequence[dict[str, Any]]) -> str:
    commits = sorted({row["commit"] for row in rows})
    short = ", ".join(c[:COMMIT_LETTERS] + "+" * c.endswith("+") for c in commits)
    lines = [
        f"### {TITLES[name]}",
        "",
        f"`{rows[0]['command']}`, commit {short}",
        "",
        _line(HEAD),
        _line(["---"] * len(HEAD)),
        *(_line(_cells(row)) for row in rows),
    ]
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["work"],
        row["system"],
        f"{_number(row['value'])} {row['unit']}".strip(),
        _number(row["ratio"]),
        (row["target"] or "").replace(">=", "≥").replace("<=", "≤"),
        MET[row["is_met"]],
        "" if row["spread"] is None else f"{row['spread']:.0%}",
        row["note"],
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    write_page(RESULTS, RESULTS.parent / "README.md")
