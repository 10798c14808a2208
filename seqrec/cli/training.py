"""``seqrec train``, ``seqrec tune`` and ``seqrec demo``."""

from pathlib import Path
from typing import Annotated

import typer

import seqrec
from seqrec.cli.options import DryRun, Json, Overrides, Overwrite, Recipe, TrainingData
from seqrec.cli.output import get_progress_printer, print_result, print_settings
from seqrec.cli.values import parse_numbers
from seqrec.config.defaults import DEMO, TUNE
from seqrec.errors import SeqRecError

RunFolder = Annotated[Path | None, typer.Option(help="Run folder to write.")]
Seeds = Annotated[
    str | None,
    typer.Option(
        help="Comma-separated seeds. Each one trains a run in --out/seed-N; {seed} in KEY=VALUE "
        "stands for its number."
    ),
]
ResumeRun = Annotated[
    bool,
    typer.Option(
        "--resume", help="Continue an interrupted run, or a finished one with more epochs."
    ),
]
SearchFolder = Annotated[Path | None, typer.Option(help="Folder of the search to write.")]
Trials = Annotated[
    int, typer.Option(metavar="N", help="Total number of trials, each with other settings.")
]
SearchFile = Annotated[
    Path | None,
    typer.Option(help="YAML file with a search block; default: the recipe's search block."),
]
ResumeSearch = Annotated[
    bool,
    typer.Option("--resume", help="Continue an interrupted search, or add trials to a finished."),
]
DemoData = Annotated[str, typer.Option(help="movielens-100k, or simulated (needs no download).")]
DemoFolder = Annotated[Path, typer.Option(help="Folder for all outputs of the demo.")]


def train(
    recipe: Recipe,
    overrides: Overrides = None,
    data: TrainingData = None,
    out: RunFolder = None,
    seeds: Seeds = None,
    resume: ResumeRun = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a model with the objective of a recipe."""
    from seqrec.reports.console import training_lines

    numbers = None if seeds is None else parse_numbers(seeds, "--seeds")
    if dry_run:
        from seqrec.config.load import load_recipe, load_recipe_of_seed

        settings = (
            load_recipe(recipe, overrides or ())
            if numbers is None
            else load_recipe_of_seed(recipe, overrides or (), numbers[0])
        )
        print_settings(settings.model_dump(), as_json)
        return
    data, out = _require(data, "train: --data"), _require(out, "train: --out")
    result = seqrec.train(
        recipe,
        data=data,
        out=out,
        overrides=overrides or (),
        seeds=numbers,
        resume=resume,
        overwrite=overwrite,
    )
    print_result(result, as_json, *training_lines(result))


def tune(
    recipe: Recipe,
    overrides: Overrides = None,
    data: TrainingData = None,
    out: SearchFolder = None,
    trials: Trials = TUNE.trials,
    search: SearchFile = None,
    resume: ResumeSearch = False,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Search for the settings with the best validation result.

    The test part of the data is never read.
    """
    from seqrec.reports.verb_lines import search_lines

    if dry_run:
        from seqrec.config.load import load_recipe, load_search
        from seqrec.config.search import space_settings

        settings = load_recipe(recipe, overrides or ()).model_dump()
        settings["search"] = space_settings(load_search(recipe, overrides or (), search))
        print_settings(settings, as_json)
        return
    data, out = _require(data, "tune: --data"), _require(out, "tune: --out")
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
    print_result(result, as_json, *search_lines(result))


def demo(
    data: DemoData = DEMO.data,
    out: DemoFolder = DEMO.out,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Run every step on MovieLens-100K, within minutes.

    The steps: download, prepare, train, evaluate, export, recommend, report.
    """
    result = seqrec.demo(data=data, out=out, overwrite=overwrite, say=get_progress_printer(as_json))
    print_result(result, as_json)


def _require(path: Path | None, option: str) -> Path:
    """The path of an option that only ``--dry-run`` does without."""
    if path is None:
        raise SeqRecError(f"{option} is missing")
    return path
