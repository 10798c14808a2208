"""Commands in hostile surroundings: closed and full streams, odd names, small disks, locales.

Small and read-only disks are mounted where the system allows it, else they are plain folders.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tests.campaigns.runner import Verdict, main

SECONDS = 60
CODES = (0, 2, 130, 141)
TINY = (
    "data.max_length=8 data.batch_size=8 model.hidden_size=8 trainer.max_epochs=2 "
    "trainer.checkpoint_minutes=1e-9 trainer.accelerator=cpu"
)
COMMANDS = (
    "datasets",
    "prepare log.csv --out data",
    "prepare log.csv --out data --overwrite",
    "recommend popularity --data old --split all --out lists.csv",
    "evaluate popularity --data old --out report",
    "pairs --data old --source implicit --model popularity --out pairs.parquet",
    f"train sft --data old --out run {TINY}",
    f"train sft --data old --out model {TINY} --overwrite",
    "recommend model --data old --split all --out lists.parquet",
    "recommend model --history i1,i2",
    "export model --to numpy --out vectors",
)
TWICE = "twice at the same time"
STREAMS = (
    "",
    "> /dev/full",
    "2> /dev/full",
    ">&-",
    "2>&-",
    ">&- 2>&- <&-",
    "| head -c 1; exit ${PIPESTATUS[0]}",
    "2>&1 | true; exit ${PIPESTATUS[0]}",
    TWICE,
)
LIMITS = ("", "ulimit -f 1;", "ulimit -f 8;", "ulimit -n 40;", "umask 777;", "umask 000;")
ENVIRONMENTS: tuple[dict[str, str], ...] = (
    {},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "cp1252"},
    {"HOME": "/nowhere"},
    {"TMPDIR": "/nowhere"},
)
SMALL_DISK, READ_ONLY = "small disk", "read-only disk"
FOLDERS = (
    SMALL_DISK,
    READ_ONLY,
    "plain",
    "with space",
    "[a]*?",
    "é映画",
    "-dash",
    "x" * 200,
    "a'\"b",
    "lr::0.1",
)


def judge(generator: np.random.Generator, folder: Path) -> Verdict:
    """Run a command in drawn surroundings, and look at its end and at what was there before."""
    command, stream, limit, environment, name = (
        choices[generator.integers(len(choices))]
        for choices in (COMMANDS, STREAMS, LIMITS, ENVIRONMENTS, FOLDERS)
    )
    kind, seqrec = " ".join(command.split()[:2]), f"{sys.executable} -m seqrec"
    line = f"{limit} {seqrec} {command} {stream}"
    if stream == TWICE:
        once = f"{seqrec} {command}"
        line = f"{limit} {once} & {limit} {once}; code=$?; wait $!; echo $? >&2; exit $code"
    with _disk(folder / name, name) as work:
        before = _read_all(work)
        try:
            done = subprocess.run(
                ["bash", "-c", line],
                cwd=work,
                env={**os.environ, **environment},
                capture_output=True,
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            return Verdict(kind, "wrong", f"hangs: {limit} {command} {stream} in {name}")
        after = _read_all(work)
    errors = done.stderr.decode("utf-8", "replace")
    what = f"{limit} {command} {stream} {environment} in {name}: {done.returncode} {errors[-300:]}"
    if "Traceback" in errors or "Exception ignored" in errors:
        return Verdict(kind, "traceback", what)
    lost = [
        file
        for file, content in before.items()
        if after.get(file) != content
        and not ("--overwrite" in command and file.startswith("model"))
    ]
    if done.returncode not in CODES or lost:
        return Verdict(kind, "wrong", f"{what} lost {lost[:3]}")
    return Verdict(kind, "refused" if done.returncode == 2 else "right", errors[-200:])


@functools.cache
def _template() -> Path:
    """Return a folder with a log, prepared data and a model, made once."""
    import seqrec

    folder = Path(tempfile.mkdtemp(prefix="campaign-surroundings-"))
    rows = "".join(f"u{n % 9},i{n % 7},{n}\n" for n in range(90))
    (folder / "log.csv").write_text("user,item,time\n" + rows, encoding="utf-8")
    seqrec.prepare(folder / "log.csv", out=folder / "old")
    seqrec.train("sft", data=folder / "old", out=folder / "model", overrides=TINY.split())
    return folder


@contextmanager
def _disk(work: Path, name: str) -> Iterator[Path]:
    """Make the folder that a command runs in, on a disk of its own where its name says so."""
    work.mkdir()
    is_mounted = name in (SMALL_DISK, READ_ONLY) and _mount(work, "size=2m")
    try:
        shutil.copytree(_template(), work, dirs_exist_ok=True)
        if is_mounted:
            _mount(work, "remount,ro" if name == READ_ONLY else f"remount,size={_used(work)}")
        yield work
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(work)], check=False)


def _mount(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return not subprocess.run(command, capture_output=True, check=False).returncode


def _used(folder: Path) -> int:
    """Return the bytes in use on a disk, and a few more."""
    disk = os.statvfs(folder)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize + 32_768


def _read_all(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


if __name__ == "__main__":
    sys.exit(main(judge, 100))
