"""Commands in hostile surroundings: closed and full streams, odd names, small disks, locales."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.campaigns.runner import Verdict, main

SECONDS = 60
CODES = (0, 2, 130, 141)
COMMANDS = (
    "datasets",
    "prepare log.csv --out data",
    "prepare log.csv --out data --overwrite",
    "recommend popularity --data old --split all --out lists.csv",
    "evaluate popularity --data old --out report",
)
STREAMS = (
    "",
    "> /dev/full",
    "2> /dev/full",
    ">&-",
    "2>&-",
    ">&- 2>&- <&-",
    "| head -c 1; exit ${PIPESTATUS[0]}",
    "2>&1 | true; exit ${PIPESTATUS[0]}",
)
LIMITS = ("", "ulimit -f 1;", "ulimit -f 8;", "ulimit -n 40;", "umask 777;", "umask 000;")
ENVIRONMENTS: tuple[dict[str, str], ...] = (
    {},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "cp1252"},
    {"HOME": "/nowhere"},
    {"TMPDIR": "/nowhere"},
)
FOLDERS = ("plain", "with space", "[a]*?", "é映画", "-dash", "x" * 200, "a'\"b", "lr::0.1")


def judge(generator: np.random.Generator, folder: Path) -> Verdict:
    """Run a command in drawn surroundings, and look at its end and at what was there before."""
    command, stream, limit, environment, name = (
        choices[generator.integers(len(choices))]
        for choices in (COMMANDS, STREAMS, LIMITS, ENVIRONMENTS, FOLDERS)
    )
    work = folder / name
    work.mkdir()
    rows = "".join(f"u{n % 9},i{n % 7},{n}\n" for n in range(90))
    (work / "log.csv").write_text("user,item,time\n" + rows, encoding="utf-8")
    seqrec = f"{sys.executable} -m seqrec"
    subprocess.run([*seqrec.split(), "prepare", "log.csv", "--out", "old"], cwd=work, check=False)
    before = _read_all(work)
    kind = command.split()[0]
    try:
        done = subprocess.run(
            ["bash", "-c", f"{limit} {seqrec} {command} {stream}"],
            cwd=work,
            env={**os.environ, **environment},
            capture_output=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Verdict(kind, "wrong", f"hangs: {limit} {command} {stream} in {name}")
    errors = done.stderr.decode("utf-8", "replace")
    what = f"{limit} {command} {stream} {environment} in {name}: {done.returncode} {errors[-300:]}"
    if "Traceback" in errors or "Exception ignored" in errors:
        return Verdict(kind, "traceback", what)
    after = _read_all(work)
    is_lost = any(after.get(file) != content for file, content in before.items())
    if done.returncode not in CODES or is_lost:
        return Verdict(kind, "wrong", what)
    return Verdict(kind, "refused" if done.returncode == 2 else "right", errors[-200:])


def _read_all(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


if __name__ == "__main__":
    sys.exit(main(judge, 100))
