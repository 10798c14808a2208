"""The one exception that a user's mistake raises, whatever room it is found in."""


class SeqRecError(Exception):
    """A mistake in input, options or files, told in one line.

    The message names the culprit (which file, column, key, option) and the mend.
    The command line prints it after ``seqrec:`` and exits with code 2.
    """
