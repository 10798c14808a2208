"""The command line: flags, then one call in ``jobs``, whose result is printed.

Nothing heavy is imported before a verb runs, so that ``--help`` answers at once.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

import seqrec
from seqrec.errors import SeqRecError

EXIT_MISTAKE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="seqrec",
    help="Watch histories as language: train, judge and serve sequential recommenders.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace --out if it exists.")]
KeepSeen = Annotated[bool, typer.Option("--keep-seen", help="Leave seen items in the lists.")]

MemoryMb = Annotated[
    float | None,
    typer.Option(help="Memory for scores, in MiB; what suits the processor if absent."),
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a verb; a user's mistake is one line and exit code 2, Ctrl-C is 130."""
    logging.basicConfig(format="seqrec: %(message)s", level=logging.WARNING)
    try:
        code = app(args=arguments, standalone_mode=False)
    except SeqRecError as error:
        _fail(str(error))
    except TyperException as error:
        _fail(getattr(error, "format_message", error.__str__)().rstrip(".") + "; see --help")
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}")
    if code == EXIT_INTERRUPTED:
        print("seqrec: interrupted", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    print("seqrec:", " ".join(message.split()), file=sys.stderr)
    sys.exit(EXIT_MISTAKE)


def _print(result: dict[str, Any], as_json: bool, *lines: str) -> None:
    """The result: as JSON, or as lines for people, what was written last."""
    if as_json:
        print(json.dumps(result))
        return
    for line in lines:
        print(line)
    if "out" in result:
        print(result["out"])


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(seqrec.__version__)
        raise typer.Exit


@app.command()
def datasets(as_json: Json = False) -> None:
    """List the known datasets: counts, licence, where each is looked for."""
    from seqrec.reports.tables import text_table

    result = seqrec.datasets()
    columns = ("name", "users", "items", "interactions", "licence")
    rows = [
        {key: known[key] for key in columns} | {"looked for": ", ".join(known["places"])}
        for known in result["datasets"]
    ]
    _print(result, as_json, text_table(rows))


@app.command()
def prepare(
    source: Annotated[str, typer.Argument(help="A known dataset's name, or a file or folder.")],
    out: Annotated[Path, typer.Option(help="The prepared folder.")],
    split_by: Annotated[
        str,
        typer.Option(help="leave-one-out, last-n:N, global-time:Q (share before the cut) or none."),
    ] = "leave-one-out",
    targets: Annotated[
        str, typer.Option(help="Of a global-time split: each user's last, or successive.")
    ] = "last",
    user: Annotated[str | None, typer.Option(help="Column of the user.")] = None,
    item: Annotated[str | None, typer.Option(help="Column of the item.")] = None,
    time: Annotated[str | None, typer.Option(help="Column of the time.")] = None,
    rating: Annotated[str | None, typer.Option(help="Column of the rating.")] = None,
    order: Annotated[
        str | None, typer.Option(help="Column that is each user's order already.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="csv, parquet, ndjson or sequences, if not guessed rightly.")
    ] = None,
    min_rating: Annotated[float | None, typer.Option(help="Drop rows rated below.")] = None,
    min_user: Annotated[int, typer.Option(min=1, help="k-core: interactions a user.")] = 1,
    min_item: Annotated[int, typer.Option(min=1, help="k-core: interactions an item.")] = 1,
    repeats: Annotated[str, typer.Option(help="keep or drop-consecutive.")] = "keep",
    cold_share: Annotated[
        float, typer.Option(help="Share of items that stay for the test alone.")
    ] = 0.0,
    items: Annotated[
        Path | None, typer.Option(help="A file that tells about items: CSV, Parquet or NDJSON.")
    ] = None,
    catalog: Annotated[
        str, typer.Option(help="watched items, or all that a file tells about.")
    ] = "watched",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Turn a log into a prepared folder: interactions, items, users, manifest."""
    result = seqrec.prepare(
        source,
        out=out,
        split_by=split_by,
        targets=targets,
        user=user,
        item=item,
        time=time,
        rating=rating,
        order=order,
        format=format,
        min_rating=min_rating,
        min_user=min_user,
        min_item=min_item,
        repeats=repeats,
        cold_share=cold_share,
        items=items,
        catalog=catalog,
        overwrite=overwrite,
    )
    counts = [f"{key.replace('_', ' ')}: {value:,}" for key, value in result["counts"].items()]
    _print(result, as_json, *counts)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a YAML file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Settings to change.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Prepared folder.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.")] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="Seeds with commas between: a run each, in --out/seed-N; {seed} in KEY=VALUE is "
            "the run's."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe and stop.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a model by a recipe, whatever its objective."""
    numbers = None if seeds is None else _numbers(seeds, "--seeds")
    if dry_run:
        import yaml

        from seqrec.config.load import load_recipe, load_recipe_of_seed

        found = (
            load_recipe(recipe, overrides or ())
            if numbers is None
            else load_recipe_of_seed(recipe, overrides or (), numbers[0])
        )
        settings = found.model_dump()
        _print(settings, as_json, yaml.safe_dump(settings, sort_keys=False).rstrip())
        return
    if data is None or out is None:
        raise SeqRecError(f"train: {'--data' if data is None else '--out'} is missing")
    result = seqrec.train(
        recipe,
        data=data,
        out=out,
        overrides=overrides or (),
        seeds=numbers,
        resume=resume,
        overwrite=overwrite,
    )
    if numbers is not None:
        metrics = "  ".join(
            f"{key} {value:.4f} (sd {result['sd'][key]:.4f})"
            for key, value in result["validation"].items()
        )
        _print(
            result,
            as_json,
            f"{len(result['runs'])} seeds, {result['train_seconds']:.0f} s of training",
            *_what_was_kept(result["runs"][0]),
            f"validation: {metrics}",
            f"({result['protocol']})",
        )
        return
    metrics = "  ".join(f"{key} {value:.4f}" for key, value in result["validation"].items())
    before = [f"{key} {value:.4f}" for key, value in result.get("start", {}).items()]
    _print(
        result,
        as_json,
        _how_it_went(result),
        *_what_was_kept(result),
        *(["before: " + "  ".join(before)] if before else []),
        f"validation: {metrics}" if metrics else "no validation part: the last weights are kept",
        *_held_out(result.get("held_out")),
        f"({result['protocol']})",
    )


@app.command()
def tune(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe's name, or a YAML file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY.PATH=VALUE]...", help="Settings to change.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Prepared folder.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the search.")] = None,
    trials: Annotated[int, typer.Option(metavar="N", help="Settings to try.")] = 20,
    search: Annotated[
        Path | None, typer.Option(help="YAML file with a search block, instead of the recipe's.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted search, or a finished one.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the recipe and what is searched, and stop.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Search a recipe's settings for the best validation; the test part is never touched."""
    if dry_run:
        import yaml

        from seqrec.config.load import load_recipe, load_search
        from seqrec.config.search import space_settings

        settings = load_recipe(recipe, overrides or ()).model_dump()
        settings["search"] = space_settings(load_search(recipe, overrides or (), search))
        _print(settings, as_json, yaml.safe_dump(settings, sort_keys=False).rstrip())
        return
    if data is None or out is None:
        raise SeqRecError(f"tune: {'--data' if data is None else '--out'} is missing")
    result = seqrec.tune(
        recipe,
        data=data,
        out=out,
        trials=trials,
        overrides=overrides or (),
        search=search,
        resume=resume,
        overwrite=overwrite,
    )
    best = result["best"]
    _print(
        result,
        as_json,
        result["table"],
        f"({result['protocol']})",
        f"best: trial {best['trial']}, {result['selection_metric']} "
        f"{best[result['selection_metric']]:.4f}; recipe {result['recipe']}, "
        f"model {result['model']}",
    )


@app.command()
def pairs(
    data: Annotated[Path, typer.Option(help="Prepared folder.")],
    out: Annotated[Path, typer.Option(help="The pairs file (Parquet).")],
    source: Annotated[
        str,
        typer.Option(help="ratings, implicit (needs --model) or file (needs --file)."),
    ],
    file: Annotated[
        Path | None, typer.Option(help="Comparisons made by people: Parquet, NDJSON, CSV, TSV.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The policy whose own lists are rejected: a run.")
    ] = None,
    k: Annotated[int, typer.Option(help="Length of those lists.")] = 50,
    num_rejected: Annotated[int, typer.Option(help="Titles drawn from a list, at random.")] = 5,
    per_user: Annotated[int, typer.Option(help="Pairs of a user, at most.")] = 20,
    liked: Annotated[float, typer.Option(help="Least rating of a chosen title.")] = 4.0,
    disliked: Annotated[float, typer.Option(help="Largest rating of a rejected title.")] = 2.0,
    horizon: Annotated[
        int, typer.Option(help="Interactions after a history that rated titles are drawn from.")
    ] = 50,
    min_history: Annotated[int, typer.Option(help="Titles of a history, at least.")] = 5,
    max_history: Annotated[int, typer.Option(help="Titles of a history that are written.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write preference data: after a history, what was preferred to what."""
    result = seqrec.pairs(
        data=data,
        out=out,
        source=source,
        file=file,
        model=model,
        k=k,
        num_rejected=num_rejected,
        per_user=per_user,
        liked=liked,
        disliked=disliked,
        horizon=horizon,
        min_history=min_history,
        max_history=max_history,
        seed=seed,
        overwrite=overwrite,
    )
    lines = [f"{result['pairs']:,} pairs of {result['users']:,} users"]
    such = {key: f" (such as {item_id!r})" for key, item_id in result["unknown"].items()}
    counts = [(key, n) for key, n in result["counts"].items() if n]
    lines += [f"{key.replace('_', ' ')}: {n:,}{such.get(key, '')}" for key, n in counts]
    _print(result, as_json, *lines)


@app.command()
def cache(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Run or model folders, averaged.")
    ],
    data: Annotated[Path, typer.Option(help="Prepared folder.")],
    out: Annotated[
        Path, typer.Option(help="Folder, for objective.cache; with --pairs a Parquet file.")
    ],
    pairs: Annotated[
        Path | None, typer.Option(help="Pairs file; then for objective.reference.")
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("--k", help="Likeliest titles kept of a place; 100 if absent, or all."),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Titles read of a history, if data.max_length is set.")
    ] = None,
    windows: Annotated[
        str | None, typer.Option(help="all, last or prefixes, as data.windows; all if absent.")
    ] = None,
    stride: Annotated[int | None, typer.Option(help="As data.stride.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compute what models say at every place, or of pairs, to train without the models."""
    result = seqrec.cache(
        models,
        data=data,
        out=out,
        pairs=pairs,
        k=k,
        max_length=max_length,
        windows=windows,  # type: ignore[arg-type]
        stride=stride,
        overwrite=overwrite,
    )
    if pairs is not None:
        lines = [f"log-probabilities of {result['pairs']:,} pairs"]
    else:
        size = f"{result['bytes'] / 1e6:,.0f} MB"
        lines = [f"{result['k']} titles at each of {result['places']:,} places, {size}"]
    if result["parts_resumed"]:
        lines.append(f"went on after {result['parts_resumed']} of {result['parts']} parts")
    _print(result, as_json, *lines)


@app.command()
def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL...", help="Run or model folders, names of baselines."),
    ] = None,
    data: Annotated[Path, typer.Option(help="Prepared folder.")] = ...,  # type: ignore[assignment]
    split: Annotated[str, typer.Option(help="validation or test.")] = "test",
    k: Annotated[str, typer.Option(help="Cut-offs, with commas between.")] = "10,50",
    metric: Annotated[
        str | None, typer.Option(help="By which systems are compared; NDCG if absent.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="System compared with each other; the first if absent.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="cold or warm: targets that training never met, or met.")
    ] = None,
    users_sample: Annotated[
        int | None, typer.Option(metavar="N", help="Ask N users only, for a quick look.")
    ] = None,
    shuffle_test: Annotated[
        bool, typer.Option("--shuffle-test", help="Ask again with histories out of order.")
    ] = False,
    strata: Annotated[
        bool, typer.Option("--strata", help="Also print accuracy by target and history.")
    ] = False,
    retrieval: Annotated[
        str,
        typer.Option(help="exact, faiss-flat, faiss-hnsw, faiss-ivf; several with commas between."),
    ] = "exact",
    recommendations: Annotated[
        list[Path] | None, typer.Option(help="Anybody's recommendations file; may be repeated.")
    ] = None,
    tune_baselines: Annotated[
        int,
        typer.Option(
            metavar="N", help="Choose each baseline's settings by N trials on validation."
        ),
    ] = 0,
    keep_seen: KeepSeen = False,
    memory_mb: MemoryMb = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for metrics, per-user results and an HTML report.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Rank the full catalog for every held-out target, systems side by side."""
    from seqrec.reports.evaluation import beyond_rows, printed_rows, strata_table
    from seqrec.reports.tables import text_table

    cut_offs = _numbers(k, "--k")
    result = seqrec.evaluate(
        models or (),
        data=data,
        split=split,
        k=cut_offs,
        metric=metric,
        against=against,
        only=only,
        users_sample=users_sample,
        shuffle_test=shuffle_test,
        retrieval=retrieval.split(","),
        recommendations=recommendations or (),
        tune_baselines=tune_baselines,
        exclude_seen=not keep_seen,
        memory_mb=memory_mb,
        out=out,
        overwrite=overwrite,
    )
    counts = ", ".join(f"{key.replace('_', ' ')}: {n:,}" for key, n in result["counts"].items())
    rows = result["rows"]
    lines = [text_table(printed_rows(rows)), result["protocol"], counts, *result["notes"]]
    lines += ["", text_table(beyond_rows(rows, min(cut_offs)))]
    if strata:
        lines += ["", text_table(strata_table(result["strata"], result["metric"]))]
    lines += _settings_lines(result["baselines"])
    lines += [comparison["sentence"] for comparison in result["comparisons"]]
    lines += [
        f"{row['metric']} of {row['system']}: {row['in_order']:.4f} in order, "
        f"{row['shuffled']:.4f} with histories shuffled ({row['relative']:+.1%}; 95 % interval "
        "{:+.4f} to {:+.4f})".format(*row["interval"])
        for row in result.get("order", ())
    ]
    _print(result, as_json, *lines)


@app.command()
def recommend(
    model: Annotated[str, typer.Argument(help="Run or model folder.")],
    history: Annotated[
        str | None,
        typer.Option(
            help="Item ids, oldest first, commas between; a JSON list of ids or events; or a "
            ".json file that holds one."
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Prepared folder: all of its users.")] = None,
    split: Annotated[
        str, typer.Option(help="Histories before the validation or test targets, or all.")
    ] = "test",
    k: Annotated[int, typer.Option(help="Length of the lists.")] = 10,
    given: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Ask for titles of this, say rating=5; repeatable."
        ),
    ] = None,
    likelihood: Annotated[
        str | None,
        typer.Option(metavar="NAME=VALUE", help="Say how likely each title is to get this."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="The model first says what kind of title comes next.")
    ] = False,
    keep_seen: KeepSeen = False,
    memory_mb: MemoryMb = None,
    index: Annotated[Path | None, typer.Option(help="Folder of an exported FAISS index.")] = None,
    out: Annotated[Path | None, typer.Option(help="Parquet file, with --data.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Recommend the next titles for one history, or for all users of a dataset."""
    from seqrec.reports.tables import text_table

    result = seqrec.recommend(
        model,
        history=_history(history) if history is not None else None,
        data=data,
        split=split,
        k=k,
        given=dict(_feature(text, "--given") for text in given or ()),
        likelihood=None if likelihood is None else _feature(likelihood, "--likelihood"),
        plan=plan,
        exclude_seen=not keep_seen,
        memory_mb=memory_mb,
        index=index,
        out=out,
        overwrite=overwrite,
    )
    if history is None:
        names = ("users", "rows", "lists_cut_short")
        counts = [f"{name.replace('_', ' ')}: {result[name]:,}" for name in names]
        _print(result, as_json, *counts, result["time_input"])
        return
    notes = [f"plan: {name}={value}" for name, value in result.get("plan", {}).items()]
    if result["unknown_items"]:
        unknown = result["unknown_items"]
        notes.append(f"skipped {len(unknown)} ids that the catalog lacks, {unknown[0]!r} first")
    if result["unknown_features"]:
        notes.append(f"the model does not know {', '.join(result['unknown_features'])}")
    if result["fallback"]:
        notes.append(f"nothing known in the history: answered by {result['fallback']}")
    if len(result["recommendations"]) < k:
        notes.append(f"only {len(result['recommendations'])} unseen items exist")
    _print(result, as_json, text_table(result["recommendations"]), *notes)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="Run or model folder.")],
    to: Annotated[str, typer.Option(help="parquet, numpy or faiss.")],
    out: Annotated[Path, typer.Option(help="Folder.")],
    data: Annotated[
        Path | None, typer.Option(help="Prepared folder: export its users too.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write item (with --data: and user) embeddings for a retrieval system."""
    result = seqrec.export(model, to=to, out=out, data=data, overwrite=overwrite)
    lines = [f"{count:,} {name} x {result['width']}" for name, count in result["counts"].items()]
    if not result["scores_are_products"]:
        lines.append("products of these vectors leave out what the model's memory adds to scores")
    for kind, recall in result.get("recall_against_exact", {}).items():
        lines.append(f"recall@10 of {kind} against exact: {recall:.4f}")
    _print(result, as_json, *lines)


@app.command()
def demo(
    data: Annotated[str, typer.Option(help="movielens-100k, or simulated.")] = "movielens-100k",
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("runs/demo"),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """All of it in minutes: obtain, prepare, train, evaluate, export, recommend, report."""
    result = seqrec.demo(data=data, out=out, overwrite=overwrite, say=_say(as_json))
    _print(result, as_json)


def _say(as_json: bool) -> Any:
    """Where a verb of many stages tells what it does: stdout, unless that is for JSON."""
    stream = sys.stderr if as_json else sys.stdout
    return lambda text: print(text, file=stream, flush=True)


def _how_it_went(result: dict[str, Any]) -> str:
    """Of a run of training, whatever its objective."""
    if "num_updates" in result:
        return (
            f"{result['num_updates']} updates ({result['reason']}); reward "
            f"{result['reward_before']:.4f} -> {result['reward']:.4f}, drift "
            f"{result['kl_nats']:.3f} nats a title, {result['train_seconds']:.0f} s"
        )
    best = f"best epoch {result['best_epoch']} of {result['num_epochs']}"
    if not result["best_epoch"]:
        best = "no epoch within objective.tolerance was better: the weights of the start are kept"
    return f"{best}, {result['train_seconds']:.0f} s of training"


def _what_was_kept(result: dict[str, Any]) -> list[str]:
    """Of a model that reads events: what became of the training interactions."""
    found = result.get("events")
    if found is None:
        return []
    return [
        f"events: {found['interactions']:,} interactions, of which {found['merged']:,} merged, "
        f"{found['dropped']:,} dropped; {found['events_read']:,} events read, "
        f"{found['tokens_per_event']} tokens each"
    ]


def _held_out(found: dict[str, Any] | None) -> list[str]:
    """How a reward model fares on people whom it never met, beside what needs no model."""
    if found is None:
        return []
    lines = [f"held out: {found['users']:,} users, {found['answers']:,} answers"]
    for name, of in {"model": found["model"], **found["baselines"]}.items():
        metrics = "  ".join(f"{key} {value:.4f}" for key, value in of.items())
        lines.append(f"  {name.replace('_', ' ')}: {metrics}")
    gain = found["auc_gain"]
    difference = f"auc of the model over {name.replace('_', ' ')}: {gain['difference']:+.4f}"
    interval = f"[{gain['low']:+.4f}, {gain['high']:+.4f}], p {gain['p_value']:.3g}"
    return [*lines, f"  {difference} {interval}"]


def _settings_lines(baselines: list[dict[str, Any]]) -> list[str]:
    """Each baseline that has settings, as it can be named again."""
    return [
        baseline["name"]
        + (f"  (validation {baseline['validation']:.4f})" if "validation" in baseline else "")
        for baseline in baselines
        if baseline["settings"]
    ]


def _numbers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise SeqRecError(f"{option} {text}: write whole numbers with commas between") from error


def _feature(text: str, option: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator or not value:
        raise SeqRecError(f"{option} {text}: write it as NAME=VALUE")
    return name, value


def _history(text: str) -> list[Any]:
    """Ids with commas between, or a JSON list of ids and events, also one in a file."""
    if text.endswith(".json"):
        return _events(Path(text).read_bytes(), text)
    if not text.startswith("["):
        return text.split(",") if text else []
    return _events(text, text)


def _events(text: str | bytes, name: str) -> list[Any]:
    try:
        found = json.loads(text)
    except ValueError as error:  # not JSON, or not UTF-8
        raise SeqRecError(f"--history {name}: not a JSON list of item ids or events") from error
    if not isinstance(found, list) or any(isinstance(one, list) for one in found):
        raise SeqRecError(f"--history {name}: not a JSON list of item ids or events")
    return [one if isinstance(one, dict) else str(one) for one in found]
