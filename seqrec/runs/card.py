"""The model card of a run: what its recipe, its data and its metrics say."""

import re
from pathlib import Path
from typing import Any

import seqrec
from seqrec.config.recipe import Recipe
from seqrec.config.yaml_text import dump_yaml
from seqrec.data.known_datasets.descriptions import list_known_datasets
from seqrec.models.two_heads import read_fields
from seqrec.reports.model_card import CARD_FILE, DataFacts, ModelFacts, format_model_card
from seqrec.runs.result import RunResult

HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
COUNTED = ("users", "items", "interactions")


def write_card(folder: Path, name: str, recipe: Recipe, data: DataFacts, result: RunResult) -> None:
    """Write the card into a model folder; it names no path of this machine.

    Args:
        folder: the model folder.
        name: of the run.
        recipe: of the run.
        data: the data that it was trained on.
        result: of the run.
    """
    config = read_fields(folder)
    model = ModelFacts(
        name=name,
        version=seqrec.__version__,
        objective=result.objective,
        tags=[result.objective],
        num_parameters=result.num_parameters,
        num_items=config.get("num_items"),
        results=result.validation,
        protocol=result.protocol,
        settings=dump_yaml(_hide_folders(recipe.model_dump())),
        base_model=get_hub_name(getattr(recipe.model, "backbone", None)),
    )
    (folder / CARD_FILE).write_text(format_model_card(model, data), encoding="utf-8")


def describe_data(data: Any) -> DataFacts:
    """Return what a card states about data: a known dataset's terms, or that none are known.

    Args:
        data: a prepared folder, or other data with a path.
    """
    manifest = getattr(data, "manifest", None)
    if manifest is None:
        return DataFacts(Path(data.path).name, "texts")
    source = str(manifest.get("source", "a log"))
    counts = ", ".join(f"{manifest['counts'][key]:,} {key}" for key in COUNTED)
    for known in list_known_datasets():
        if source == known.name:
            return DataFacts(known.name, counts, known.licence, known.citation)
    return DataFacts(Path(source).name or "a log", counts)


def get_hub_name(backbone: Any) -> str | None:
    """Return the name of a backbone on a model hub; None for a folder, a file or a package."""
    is_name = isinstance(backbone, str) and HUB_NAME.fullmatch(backbone) is not None
    return backbone if is_name and not Path(backbone).exists() else None


def _hide_folders(value: Any) -> Any:
    """Return settings with the last part of every absolute path."""
    if isinstance(value, dict):
        return {key: _hide_folders(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_hide_folders(one) for one in value]
    is_path = isinstance(value, str) and Path(value).is_absolute()
    return Path(value).name if is_path else value
