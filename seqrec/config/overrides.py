"""Overrides of a recipe, ``key.path=value``, whose values are read by the type of the key."""

import re
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from seqrec.config.mixed import MixedRecipe
from seqrec.config.recipe import Recipe
from seqrec.config.text_recipe import TextRecipe
from seqrec.config.yaml_text import parse_yaml
from seqrec.errors import SeqRecError, quote

KEY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*){0,9}", re.ASCII)
NULLS = ("null", "~")


def parse_override(override: str) -> tuple[str, Any]:
    """Return the dotted key and the value of an override.

    The text for a key of type ``str`` is its value, whatever YAML would make of it, except null
    and text in quotes. Every other value is YAML.

    Raises:
        SeqRecError: another shape, no value, or a value that is not YAML.
    """
    key, separator, text = override.partition("=")
    where = f"override {quote(override)}"
    if not separator or not KEY.fullmatch(key):
        raise SeqRecError(f"{where}: write it as key.path=value")
    if not text.strip():
        raise SeqRecError(f"{where}: empty; write null to unset the key")
    if text in NULLS:
        return key, None
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    if is_quoted or not _is_text(key):
        return key, parse_yaml(text, f"{where}: the value")
    return key, text


def set_key(settings: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Set a dotted key.

    Raises:
        SeqRecError: a part of the path is a value.
    """
    *blocks, last = key.split(".")
    for block in blocks:
        inner = settings.setdefault(block, {})
        if not isinstance(inner, dict):
            raise SeqRecError(f"{where}: {block} is a value, not a block")
        settings = inner
    settings[last] = value


def _is_text(key: str) -> bool:
    """Test whether a key of a recipe holds text, in any block that its path may lead to."""
    types: list[Any] = [Recipe, TextRecipe, MixedRecipe]
    for part in key.split("."):
        blocks = [block for one in types for block in _members(one) if _has_field(block, part)]
        types = [block.model_fields[part].annotation for block in blocks]
    return any(str in _members(one) for one in types)


def _members(annotation: Any) -> list[Any]:
    """Return the types that a union allows, or the type itself."""
    if get_origin(annotation) not in (Union, UnionType, Annotated):
        return [annotation]
    return [member for one in get_args(annotation) for member in _members(one)]


def _has_field(block: Any, name: str) -> bool:
    is_block = isinstance(block, type) and issubclass(block, BaseModel)
    return is_block and name in block.model_fields
