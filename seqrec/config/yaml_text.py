"""YAML text: scalars by the core schema of YAML 1.2, within limits of size and nesting."""

import re
from pathlib import Path
from typing import Any

import yaml

from seqrec.errors import SeqRecError, shorten
from seqrec.files import read_text

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 10_000
"""Most values of a document, those that aliases repeat included."""
REASON_LETTERS = 200
TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"

_SCALARS = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?((0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?[eE][-+]?[0-9]+"
        r"|\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN",
        list("-+.0123456789"),
    ),
    (MERGE, r"<<", ["<"]),
)
"""Scalars that are not text. Unlike YAML 1.1, ``yes``, ``010``, ``1:30`` and dates are text, and
``1e-4`` is a number."""


class _Loader(yaml.SafeLoader):
    """A loader that refuses deep nesting, repeated keys and aliases that expand to much."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.depth = 0
        self.num_nodes = 0
        self.sizes: dict[str, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        before = self.num_nodes
        self.num_nodes += 1
        if isinstance(event, yaml.AliasEvent):  # an alias within its own anchor has no size yet
            self.num_nodes += self.sizes.get(str(event.anchor), MAX_NODES)
        if self.num_nodes > MAX_NODES or self.depth == MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"has more than {MAX_NODES:,} values, aliases included, or more than "
                f"{MAX_DEPTH} levels",
                problem_mark=event.start_mark,
            )
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        anchor = getattr(event, "anchor", None)
        if anchor is not None and not isinstance(event, yaml.AliasEvent):
            self.sizes[anchor] = self.num_nodes - before
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key, _ in getattr(node, "value", []):
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is no name", problem_mark=key.start_mark)
            if key.value in keys:
                raise yaml.MarkedYAMLError(
                    problem=f"key {shorten(key.value, 40)} occurs twice",
                    problem_mark=key.start_mark,
                )
            keys.add(key.value)
            if key.tag != MERGE:  # a key is text, whatever it looks like
                key.tag = TEXT
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """A writer whose plain text is text for YAML 1.1 and for ``_Loader``."""


for _tag, _pattern, _starts in _SCALARS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), _starts)


def read_yaml(file: Path, what: str) -> Any:
    """Return the value in a YAML file.

    Args:
        file: the path.
        what: the file in messages.

    Raises:
        SeqRecError: a file that cannot be read, is large or is not YAML.
    """
    return parse_yaml(read_text(file, "name a file of settings in YAML", MAX_BYTES), what)


def parse_yaml(text: str, what: str) -> Any:
    """Return the value of YAML text; no two parts of it are one object.

    Raises:
        SeqRecError: text that is not YAML, or exceeds a limit.
    """
    if len(text) > MAX_BYTES:
        raise SeqRecError(f"{what} has more than {MAX_BYTES:,} letters; shorten it")
    try:
        return _copy(yaml.load(text, _Loader))  # noqa: S506 (a safe loader)
    except Exception as error:  # a tag's constructor may raise any, such as AttributeError
        reason = shorten(" ".join(str(error).split()), REASON_LETTERS)
        raise SeqRecError(f"{what} is not YAML: {reason}") from error


def dump_yaml(value: Any) -> str:
    """Return a value as YAML text, with the keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


def _copy(value: Any) -> Any:
    """Return a copy in which an alias and its anchor are two objects."""
    if isinstance(value, dict):
        return {str(key): _copy(part) for key, part in value.items()}
    return [_copy(part) for part in value] if isinstance(value, list) else value
