"""Dates of the split ``date:[VALIDATION,]TEST[,END]``."""

from datetime import UTC, datetime, timedelta

from seqrec.errors import SeqRecError

DATE_KIND = "date"
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_dates(text: str) -> tuple[int, ...]:
    """Return the dates of ``date:[VALIDATION,]TEST[,END]``, in microseconds since 1970.

    Raises:
        SeqRecError: another number of dates, no date, or dates that do not ascend.
    """
    option, (_, _, value) = f"--split-by {text}", text.partition(":")
    dates = [parse_date(part, option) for part in value.split(",")]
    if len(dates) > 3:
        raise SeqRecError(f"{option}: date:[VALIDATION,]TEST[,END] takes one to three dates")
    if any(first >= second for first, second in zip(dates, dates[1:], strict=False)):
        raise SeqRecError(f"{option}: the dates must ascend")
    return tuple((date - _EPOCH) // _MICROSECOND for date in dates)


def parse_date(text: str, option: str) -> datetime:
    """Return a date or datetime; without a zone it is UTC.

    Raises:
        SeqRecError: neither; the message names ``option``.
    """
    try:
        date = datetime.fromisoformat(text.strip())
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SeqRecError(
            f"{option}: {text!r} is no date such as 2024-03-01 or 2024-03-01T12:00"
        ) from error


def format_date(date: datetime) -> str:
    """Return a date without its time at midnight."""
    text = date.replace(tzinfo=None).isoformat()
    return text.removesuffix("T00:00:00")
