"""``python -m seqrec``."""

from seqrec.cli import main

main()
