"""Print a verb's result, its progress and its settings."""

import json
import sys
from collections.abc import Callable
from typing import Any

from seqrec.cli.streams import get_results_stream


def print_result(result: dict[str, Any], as_json: bool, *lines: str) -> None:
    """Print the result as JSON, or its lines followed by the output path."""
    if as_json:
        lines = (json.dumps(result),)
    elif "out" in result:
        lines = (*lines, str(result["out"]))
    stream = get_results_stream()
    for line in lines:
        print(line, file=stream)
    stream.flush()


def print_settings(settings: dict[str, Any], as_json: bool) -> None:
    """Print settings as JSON or as YAML."""
    from seqrec.config.load import format_yaml

    print_result(settings, as_json, format_yaml(settings))


def get_progress_printer(as_json: bool) -> Callable[[str], None]:
    """A function that prints a line of the demo: a result, or progress beside a JSON result."""
    stream = sys.stderr if as_json else get_results_stream()
    return lambda text: print(text, file=stream, flush=True)
