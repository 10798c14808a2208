"""The command line: options, then one call of a verb's function, whose result is printed.

Nothing heavy is imported before a verb runs, so that ``--help`` answers at once.
"""

from seqrec.cli.verbs import app, main

__all__ = ["app", "main"]
