"""One YAML a run, and dotted overrides."""

import copy
import difflib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from seqrec.config.recipe import Recipe
from seqrec.config.search import RECIPE_SPACE, Range, SearchSpace, parse_space
from seqrec.errors import SeqRecError

SEED_FIELD = "{seed}"
BESIDE = ("provenance", "search")
"""What a recipe's file may hold beside the blocks: where a run came from, what ``tune`` tries."""


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with seqrec, by name."""
    folder = Path(str(files("seqrec") / "recipes"))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of that name or file, with ``key.path=value`` overrides applied.

    Raises:
        SeqRecError: no such recipe, broken YAML, an unknown key, a value out of range.
    """
    return parse_recipe(_read(name_or_path, overrides), name_or_path)


def load_recipe_of_seed(name_or_path: str | Path, overrides: Sequence[str], seed: int) -> Recipe:
    """``load_recipe`` for one of several seeds, which stands where an override says ``{seed}``."""
    own = [one.replace(SEED_FIELD, str(seed)) for one in overrides]
    return load_recipe(name_or_path, [*own, f"trainer.seed={seed}"])


def load_search(
    name_or_path: str | Path, overrides: Sequence[str] = (), search: str | Path | None = None
) -> SearchSpace:
    """What ``tune`` tries: the ``search`` block of a file, else of the recipe, else the default.

    Raises:
        SeqRecError: a block of another shape, a key that recipes lack, a value out of range.
    """
    settings = _read(name_or_path, overrides)
    found = settings.get("search")
    where = f"recipe {name_or_path}: search"
    if search is not None:
        where = f"--search {search}"
        found = _yaml_of(Path(search), where).get("search")
        if found is None:
            raise SeqRecError(f"{where}: holds no search block")
    space = RECIPE_SPACE if found is None else parse_space(found, where)
    for key, values in space.items():
        for value in values.examples() if isinstance(values, Range) else values:
            _check_value(settings, key, value, where)
    return space


def with_settings(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with values for some of its dotted keys.

    Raises:
        SeqRecError: values that do not go together.
    """
    settings = recipe.model_dump(exclude_unset=True)
    for key, value in values.items():
        _set(settings, key, value, key)
    return parse_recipe(settings, "with " + ", ".join(f"{k}={v}" for k, v in values.items()))


def parse_recipe(settings: dict[str, Any], name: str | Path) -> Recipe:
    """The recipe that these blocks say.

    Raises:
        SeqRecError: an unknown key, a value out of range.
    """
    parts = {key: settings[key] for key in settings if key not in BESIDE}
    try:
        return Recipe.model_validate(parts)
    except ValidationError as error:
        raise SeqRecError(f"recipe {name}: {_first_complaint(error)}") from error


def _read(name_or_path: str | Path, overrides: Sequence[str]) -> dict[str, Any]:
    """A recipe's blocks as they are written, with overrides applied."""
    shipped = shipped_recipes()
    path = shipped.get(str(name_or_path), Path(name_or_path))
    if not path.is_file():
        raise SeqRecError(
            f"recipe {str(name_or_path)!r}: neither a file nor one of {', '.join(shipped)}"
        )
    settings = _yaml_of(path, f"recipe {path}")
    for override in overrides:
        _apply(settings, override)
    return settings


def _yaml_of(path: Path, what: str) -> dict[str, Any]:
    """The mapping that a YAML file holds."""
    try:
        settings = yaml.safe_load(path.read_text())
    except OSError as error:
        raise SeqRecError(f"{what}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SeqRecError(f"{what}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise SeqRecError(f"{what}: must hold the blocks {', '.join(Recipe.model_fields)}")
    return settings


def _check_value(settings: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Refuse a key that the recipe lacks, and a value that the key cannot have.

    Whether values go together is seen when they are tried.
    """
    tried = copy.deepcopy({name: settings[name] for name in settings if name not in BESIDE})
    _set(tried, key, value, f"{where}: {key}")
    try:
        Recipe.model_validate(tried)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(_path_and_keys_beside(first["loc"])[0])
        is_unknown = first["type"] == "extra_forbidden" and f"{key}.".startswith(f"{path}.")
        if is_unknown or f"{path}.".startswith(f"{key}."):
            raise SeqRecError(f"{where}: {_first_complaint(error)}") from error


def _apply(settings: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise SeqRecError(f"override {override!r}: write it as key.path=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SeqRecError(f"override {override!r}: the value is not YAML") from error
    _set(settings, key, value, f"override {override!r}")


def _set(settings: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Set a dotted key."""
    *blocks, last = key.split(".")
    for block in blocks:
        inner = settings.setdefault(block, {})
        if not isinstance(inner, dict):
            raise SeqRecError(f"{where}: {block} is a value, not a block")
        settings = inner
    settings[last] = value


def _first_complaint(error: ValidationError) -> str:
    """The first thing wrong, as ``key: what``; for an unknown key, the one that may be meant."""
    first = error.errors()[0]
    path, known = _path_and_keys_beside(first["loc"])
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
        return f"{key}.name: choose from {tags}, not {context['tag']!r}"
    reason = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict) else f", not {first['input']!r}"
    return f"{key}: {reason[0].lower()}{reason[1:]}{given}" if key else reason


def _path_and_keys_beside(location: tuple[str | int, ...]) -> tuple[list[str], list[str]]:
    """A key's path as it is written in a recipe, and the keys known in its block.

    The location of an error also names the member of a union that was chosen.
    """
    block: Any = Recipe
    path = []
    for part in map(str, location):
        members = [member for member in get_args(block) if hasattr(member, "model_fields")]
        if len(members) == 1:
            (block,) = members
            if part.isdigit():
                path.append(part)
                continue
        elif members:
            block = next(m for m in members if part in get_args(m.model_fields["name"].annotation))
            continue
        path.append(part)
        field = getattr(block, "model_fields", {}).get(part)
        if field is None:
            break
        block = field.annotation
    return path, list(getattr(block, "model_fields", {}))
