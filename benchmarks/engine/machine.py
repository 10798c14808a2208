"""The machine of the measurements, and the memory of this process."""

import ctypes
import os
import platform
import resource
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
"""The root of the repository."""
MEASURED = ("seqrec", "benchmarks", "constraints.txt", ":!benchmarks/results", ":!benchmarks/*.md")
"""Paths that a figure depends on; uncommitted changes elsewhere do not mark it."""
PACKAGES = ("seqrec", "torch", "numpy", "lightning", "transformers", "polars", "pyarrow")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
THREADS = 2
"""Threads of every system, unless ``OMP_NUM_THREADS`` says otherwise."""

STATUS = Path("/proc/self/status")
CLEAR_REFERENCES = Path("/proc/self/clear_refs")
CLEAR_PEAK = "5"
MB = 2**20


def threads() -> int:
    """Threads that every measured process gets."""
    return int(os.environ.get("OMP_NUM_THREADS", THREADS))


def machine() -> dict[str, Any]:
    """Processor, cores, memory and threads."""
    processor = _fields(Path("/proc/cpuinfo"))
    has = set(processor.get("flags", "").split())
    return {
        "cpu": processor.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads(),
        "memory_gb": round(_total_memory() / 2**30, 1),
        "flags": [flag for flag in FLAGS if flag in has],
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that do the work."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def commit() -> str:
    """The commit of this checkout; ``+`` after it if what is measured differs from it."""
    changes = _git("status", "--porcelain", "--", *MEASURED)
    return _git("rev-parse", "HEAD") + ("+" if changes else "")


def peak_memory_mb() -> float:
    """The most memory that this process held, since ``forget_peak`` if that was called.

    ``ru_maxrss`` counts the memory of the process that started this one, too, so it is the
    fallback where the system does not say better.
    """
    if STATUS.exists():
        return _status_mb("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_mb() -> float:
    """The memory that this process holds now; its peak where the system does not say."""
    return _status_mb("VmRSS") if STATUS.exists() else peak_memory_mb()


def forget_peak() -> None:
    """Give freed memory back to the system and, where that can be done, start a new peak."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR_REFERENCES.write_text(CLEAR_PEAK, encoding="utf-8")
    except (OSError, AttributeError):
        pass


def _status_mb(name: str) -> float:
    return int(_fields(STATUS)[name].split()[0]) / 1024


def _fields(file: Path) -> dict[str, str]:
    """The first ``name: value`` of every name in a file of the system; none without the file."""
    fields: dict[str, str] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields


def _total_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
