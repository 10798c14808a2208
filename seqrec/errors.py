"""The exception for all mistakes of users."""


class SeqRecError(Exception):
    """A mistake in input, options or files, described in one line.

    The message names the cause (the file, column, key or option) and the fix.
    The command line prints it after ``seqrec:`` and exits with code 2.
    """
