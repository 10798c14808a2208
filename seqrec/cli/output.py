"""Print a verb's result, its progress and its settings."""

import json
import sys
from collections.abc import Callable
from typing import Any


def print_result(result: dict[str, Any], as_json: bool, *lines: str) -> None:
    """Print the result as JSON, or its lines followed by the output path."""
    if as_json:
        print(json.dumps(result))
        return
    for line in lines:
        print(line)
    if "out" in result:
        print(result["out"])


def print_settings(settings: dict[str, Any], as_json: bool) -> None:
    """Print settings as JSON or as YAML."""
    from seqrec.config.load import format_yaml

    print_result(settings, as_json, format_yaml(settings))


def get_progress_printer(as_json: bool) -> Callable[[str], None]:
    """A function that prints a progress line to stdout, or to stderr beside a JSON result."""
    stream = sys.stderr if as_json else sys.stdout
    return lambda text: print(text, file=stream, flush=True)
