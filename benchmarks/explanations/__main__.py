"""Measure explanations of the top item of test users.

    python -m benchmarks.explanations titles RUN --data DATA [--users 200] [--explain-with MODEL]
    python -m benchmarks.explanations sentences RUN --data DATA --out FOLDER

RUN is a trained decoder, DATA its prepared folder, for the sentences with plots.
"""

from benchmarks.engine.parts import run_part
from benchmarks.explanations import titles, trained

PARTS = {"titles": titles, "sentences": trained}

if __name__ == "__main__":
    run_part(__doc__, PARTS)
