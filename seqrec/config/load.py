"""Load recipes: YAML files and dotted overrides."""

import copy
import difflib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from seqrec.config.mixed import MixedRecipe
from seqrec.config.overrides import parse_override, set_key
from seqrec.config.recipe import Recipe
from seqrec.config.search import RECIPE_SPACE, Range, SearchSpace, parse_space
from seqrec.config.text_recipe import TextRecipe
from seqrec.config.yaml_text import dump_yaml, read_yaml
from seqrec.errors import SeqRecError, quote

SEED_FIELD = "{seed}"
EXTRA_KEYS = ("provenance", "search")
"""Keys that a recipe file may have beside the blocks: the origin of a run, the search space."""


def list_shipped_recipes() -> dict[str, Path]:
    """The paths of the recipes that are part of seqrec, by name."""
    folder = Path(str(files("seqrec") / "recipes"))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Any:
    """Load a recipe by name or file, with ``key.path=value`` overrides.

    Raises:
        SeqRecError: unknown recipe, broken YAML, unknown key, value out of range, settings that
            exclude each other.
    """
    return parse_recipe(_read(name_or_path, overrides), name_or_path)


def load_recipe_of_seed(name_or_path: str | Path, overrides: Sequence[str], seed: int) -> Any:
    """``load_recipe`` for one of several seeds, which replaces ``{seed}`` in overrides."""
    own = [one.replace(SEED_FIELD, str(seed)) for one in overrides]
    return load_recipe(name_or_path, [*own, f"trainer.seed={seed}"])


def load_search(
    name_or_path: str | Path, overrides: Sequence[str] = (), search: str | Path | None = None
) -> SearchSpace:
    """Load the search space: of the file ``search``, else of the recipe, else the default.

    Raises:
        SeqRecError: a block of another shape, unknown key, value out of range.
    """
    settings = _read(name_or_path, overrides)
    block = settings.get("search")
    where = f"recipe {name_or_path}: search"
    if search is not None:
        where = f"--search {search}"
        block = _read_yaml(Path(search), where).get("search")
        if block is None:
            raise SeqRecError(f"{where}: has no search block; add one")
    space = RECIPE_SPACE if block is None else parse_space(block, where)
    for key, values in space.items():
        for value in values.examples() if isinstance(values, Range) else values:
            _check_value(settings, key, value, where)
    return space


def with_settings(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """A copy of the recipe with other values for some dotted keys.

    Raises:
        SeqRecError: settings that exclude each other.
    """
    settings = recipe.model_dump(exclude_unset=True)
    for key, value in values.items():
        set_key(settings, key, value, key)
    return parse_recipe(settings, "with " + ", ".join(f"{k}={quote(v)}" for k, v in values.items()))


def parse_recipe(settings: dict[str, Any], name: str | Path) -> Any:
    """Validate the blocks of a recipe: a ``Recipe``, or a ``TextRecipe`` by its objective.

    Raises:
        SeqRecError: unknown key, value out of range, settings that exclude each other.
    """
    parts = {key: settings[key] for key in settings if key not in EXTRA_KEYS}
    schema = _schema(parts)
    try:
        return schema.model_validate(parts)
    except ValidationError as error:
        raise SeqRecError(f"recipe {name}: {_format_first_error(error, schema)}") from error


def _schema(settings: Mapping[str, Any]) -> type[Recipe] | type[TextRecipe]:
    """Return the recipe that has an objective of this name."""
    objective = settings.get("objective")
    name = objective.get("name") if isinstance(objective, dict) else None
    for schema in (TextRecipe, MixedRecipe):
        union = schema.model_fields["objective"].annotation
        members = get_args(union) or (union,)
        if isinstance(name, str) and name in {
            one for member in members for one in get_args(_get_name_type(member))
        }:
            return schema
    return Recipe


def format_yaml(settings: Mapping[str, Any]) -> str:
    """The settings as YAML text, in their order."""
    return dump_yaml(dict(settings)).rstrip()


def _read(name_or_path: str | Path, overrides: Sequence[str]) -> dict[str, Any]:
    """The blocks of a recipe file as written, with overrides."""
    shipped = list_shipped_recipes()
    path = shipped.get(str(name_or_path), Path(name_or_path))
    if not path.is_file():
        raise SeqRecError(
            f"recipe {quote(str(name_or_path))}: neither a file nor one of {', '.join(shipped)}"
        )
    settings = _read_yaml(path, f"recipe {path}")
    for override in overrides:
        key, value = parse_override(override)
        set_key(settings, key, value, f"override {quote(override)}")
    return settings


def _read_yaml(path: Path, what: str) -> dict[str, Any]:
    """The mapping in a YAML file."""
    settings = read_yaml(path, what)
    if not isinstance(settings, dict):
        raise SeqRecError(f"{what}: must hold the blocks {', '.join(Recipe.model_fields)}")
    return settings


def _check_value(settings: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Refuse an unknown key, and a value that the key cannot have.

    Combinations of values are checked when they are tried.
    """
    tried = copy.deepcopy({name: settings[name] for name in settings if name not in EXTRA_KEYS})
    set_key(tried, key, value, f"{where}: {key}")
    schema = _schema(tried)
    try:
        schema.model_validate(tried)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(_path_and_siblings(first["loc"], schema)[0])
        is_unknown = first["type"] == "extra_forbidden" and f"{key}.".startswith(f"{path}.")
        if is_unknown or f"{path}.".startswith(f"{key}."):
            raise SeqRecError(f"{where}: {_format_first_error(error, schema)}") from error


def _format_first_error(error: ValidationError, schema: Any) -> str:
    """The first error as ``key: cause``; for an unknown key, with the closest known one."""
    first = error.errors()[0]
    path, known = _path_and_siblings(first["loc"], schema)
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        return f"{key}: unknown key; {hint}"
    if first["type"] == "missing":
        return f"{key}: missing"
    if first["type"] == "union_tag_not_found":
        return f"{key}.name: missing"
    if first["type"] == "union_tag_invalid":
        context = first["ctx"]
        tags = context["expected_tags"].replace("'", "")
        return f"{key}.name: choose from {tags}, not {quote(context['tag'])}"
    reason = first["msg"].removeprefix("Value error, ")
    value = "" if isinstance(first["input"], dict) else f", not {quote(first['input'])}"
    return f"{key}: {reason[0].lower()}{reason[1:]}{value}" if key else reason


def _path_and_siblings(location: tuple[str | int, ...], schema: Any) -> tuple[list[str], list[str]]:
    """The key's path as written in a recipe, and the known keys of its block.

    The location of a pydantic error also contains the chosen member of a union.
    """
    block: Any = schema
    path = []
    for part in map(str, location):
        members = [member for member in get_args(block) if hasattr(member, "model_fields")]
        if len(members) == 1:
            (block,) = members
            if part.isdigit():
                path.append(part)
                continue
        elif members:
            names = {name: m for m in members for name in get_args(_get_name_type(m))}
            if part in names:
                block = names[part]
                continue
        path.append(part)
        field = getattr(block, "model_fields", {}).get(part)
        if field is None:
            break
        block = field.annotation
    return path, list(getattr(block, "model_fields", {}))


def _get_name_type(block: Any) -> Any:
    """The type of a block's ``name``; None if it has no name."""
    return getattr(block.model_fields.get("name"), "annotation", None)
