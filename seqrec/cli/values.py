"""Parse option values that hold more than one word or number."""

from pathlib import Path
from typing import Any

from seqrec.errors import VALUE_LETTERS, SeqRecError, quote, shorten
from seqrec.files import parse_json, read_text


def parse_numbers(text: str, option: str) -> list[int]:
    """The whole numbers of a comma-separated list."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise SeqRecError(
            f"{option} {shorten(text, VALUE_LETTERS)}: write whole numbers separated by commas"
        ) from error


def parse_feature(text: str, option: str) -> tuple[str, str]:
    """The name and value of ``NAME=VALUE``."""
    name, separator, value = text.partition("=")
    if not name or not separator or not value:
        raise SeqRecError(f"{option} {shorten(text, VALUE_LETTERS)}: write it as NAME=VALUE")
    return name, value


def parse_history(text: str) -> list[Any]:
    """The history in comma-separated ids, a JSON list of ids and events, or a .json file of one."""
    if text.endswith(".json"):
        return _parse_events(read_text(Path(text), "name a JSON list of item ids or events"), text)
    if not text.startswith("["):
        return text.split(",") if text else []
    return _parse_events(text, text)


def _parse_events(text: str, name: str) -> list[Any]:
    try:
        events = parse_json(text)
    except ValueError as error:
        raise SeqRecError(
            f"--history {quote(name)}: not a JSON list of item ids or events"
        ) from error
    if not isinstance(events, list) or any(isinstance(event, list) for event in events):
        raise SeqRecError(f"--history {quote(name)}: not a JSON list of item ids or events")
    return [event if isinstance(event, dict) else str(event) for event in events]
