"""The plots beside the results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmarks.engine.rows import read

CATALOGS_FILE, PEERS_FILE, SIZES_FILE = "catalogs.png", "peers.png", "serving.png"
COLOURS = {"full": "#1f5fa8", "sampled": "#c8642b"}
LABELS = {
    "full": "full cross-entropy",
    "sampled": "sampled softmax, 512 negatives, sparse rows",
}
RETRIEVALS = {"flat": "exact", "hnsw": "HNSW"}
RETRIEVAL_COLOURS = {"flat": "#1f5fa8", "hnsw": "#c8642b"}
BAR_COLOUR = "#1f5fa8"


def write_plots(folder: Path) -> None:
    """Plot what the results of a folder have rows for."""
    figures = {
        CATALOGS_FILE: catalogs(_rows(folder / "engine.json")),
        PEERS_FILE: ratios(_rows(folder / "peers.json")),
        SIZES_FILE: latencies(_rows(folder / "serving.json")),
    }
    for name, figure in figures.items():
        if figure is not None:
            figure.savefig(folder / name, dpi=144)


def catalogs(rows: Sequence[dict[str, Any]]) -> Figure | None:
    """Step time and extra memory against the size of the catalog, the most targets a step."""
    rows = [row for row in rows if row["facts"].get("kind") in COLOURS and row["value"] is not None]
    if not rows:
        return None
    most = max(row["facts"]["num_targets"] for row in rows)
    rows = [row for row in rows if row["facts"]["num_targets"] == most]
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    names = {"time": "step time (ms)", "memory": "extra peak memory (MB)"}
    for axis, (shown, label) in zip(axes, names.items(), strict=True):
        for kind, colour in COLOURS.items():
            points = sorted(
                (row["facts"]["num_items"], row["value"])
                for row in rows
                if row["facts"]["kind"] == kind and row["facts"]["figure"] == shown
            )
            if points:
                axis.plot(*zip(*points, strict=True), "o-", color=colour, label=LABELS[kind])
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_ylim(bottom=10)
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter("{x:,.0f}")
            side.set_minor_formatter(NullFormatter())
        axis.set_xlabel("items of the catalog")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    figure.suptitle(f"A training step of {most:,} targets, width 64", fontsize=10)
    return figure


def latencies(rows: Sequence[dict[str, Any]]) -> Figure | None:
    """Latency of one history against the size of the catalog, by retrieval."""
    rows = [row for row in rows if "retrieval" in row["facts"] and row["value"] is not None]
    if not rows:
        return None
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    for retrieval, label in RETRIEVALS.items():
        own = [row for row in rows if row["facts"]["retrieval"] == retrieval]
        own.sort(key=lambda row: row["facts"]["num_items"])
        sizes = [row["facts"]["num_items"] for row in own]
        colour = RETRIEVAL_COLOURS[retrieval]
        p99, p50 = [row["value"] for row in own], [row["facts"]["p50_ms"] for row in own]
        axis.plot(sizes, p99, "o-", color=colour, label=f"{label}, p99")
        axis.plot(sizes, p50, "o--", color=colour, alpha=0.6, label=f"{label}, p50")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.set_xlabel("titles of the catalog")
    axis.set_ylabel("latency of one history (ms)")
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)
    return figure


def ratios(rows: Sequence[dict[str, Any]]) -> Figure | None:
    """Speed ratios of seqrec to its peers, with the targets as ticks."""
    rows = [row for row in rows if row["system"] == "seqrec" and row["ratio"] is not None]
    if not rows:
        return None
    figure = Figure(figsize=(8, 0.8 + 0.42 * len(rows)), layout="constrained")
    axis = figure.subplots()
    places = range(len(rows))
    axis.barh(places, [row["ratio"] for row in rows], color=BAR_COLOUR, height=0.6)
    for place, row in zip(places, rows, strict=True):
        axis.annotate(
            f"{row['ratio']:.3g}x",
            (1, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color="white",
        )
        if row["target"]:
            target = float(row["target"].split()[1])
            axis.plot([target] * 2, [place - 0.4, place + 0.4], color="#c8642b", linewidth=2)
    axis.set_yticks(places, [row["work"] for row in rows])
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.set_xlim(1, 2 * max(row["ratio"] for row in rows))
    axis.set_xlabel("times faster than the peer (orange: target)")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def _rows(file: Path) -> list[dict[str, Any]]:
    return read(file)["rows"] if file.exists() else []
