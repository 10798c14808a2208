"""Sliding windows: a series of time splits of one log, each with a prepared folder of its own."""

import re
from datetime import timedelta
from pathlib import Path

from seqrec.data.split_dates import DATE_KIND, format_date, parse_date
from seqrec.errors import SeqRecError

WINDOWS_KIND = "windows"
WINDOW_PREFIX = "window-"
"""Prefix of the prepared folder of each window."""

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def parse_windows(text: str) -> list[str]:
    """Return the ``date:`` split of each window of ``windows:START,LENGTH,COUNT``.

    The first window tests from START for LENGTH, the next one continues where it ends. Each
    validates on the LENGTH before its test, and trains on all before that.

    Raises:
        SeqRecError: any other text.
    """
    option, (_, _, value) = f"--split-by {text}", text.partition(":")
    parts = value.split(",")
    length = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", parts[1]) if len(parts) == 3 else None
    if length is None or not re.fullmatch(r"[1-9][0-9]{0,2}", parts[2]):
        raise SeqRecError(
            f"{option}: windows:START,LENGTH,COUNT, such as windows:2024-03-01,7d,4, with hours "
            "(h), days (d) or weeks (w)"
        )
    start, span = parse_date(parts[0], option), int(length[1]) * _UNITS[length[2]]
    try:
        edges = [start + number * span for number in range(-1, int(parts[2]) + 1)]
    except OverflowError as error:
        raise SeqRecError(f"{option}: a window ends after the year 9999") from error
    return [
        f"{DATE_KIND}:{','.join(map(format_date, edges[number : number + 3]))}"
        for number in range(int(parts[2]))
    ]


def is_windows(text: str) -> bool:
    """Return True for a split into windows."""
    return text.partition(":")[0] == WINDOWS_KIND


def find_windows(folder: Path) -> list[Path]:
    """Return the prepared folders of the windows in a folder, in order; none elsewhere."""
    numbers = [path.name.removeprefix(WINDOW_PREFIX) for path in folder.glob(f"{WINDOW_PREFIX}*")]
    found = sorted(int(number) for number in numbers if re.fullmatch("[0-9]+", number))
    return [folder / f"{WINDOW_PREFIX}{number}" for number in found]
