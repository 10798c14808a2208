"""Measure drafts of tags and summaries.

    python -m benchmarks.drafts tags --data DATA --tags TAGS.jsonl
    python -m benchmarks.drafts gain --data DATA --tags TAGS.jsonl --turns REDIAL.jsonl
    python -m benchmarks.drafts circle --data DATA --out FOLDER

DATA is a prepared folder whose items have plots. No person judged anything here.
"""

from benchmarks.drafts import circle, gain, tags
from benchmarks.engine.parts import run_part

PARTS = {"tags": tags, "gain": gain, "circle": circle}

if __name__ == "__main__":
    run_part(__doc__, PARTS)
