"""The lines that each verb but ``seqrec train`` prints of its result."""

from collections.abc import Mapping, Sequence
from typing import Any

from seqrec.reports.evaluation_tables import beyond_rows, printed_rows, strata_table
from seqrec.reports.tables import text_table

DATASET_COLUMNS = ("name", "users", "items", "interactions", "licence")


def datasets_lines(result: Mapping[str, Any]) -> list[str]:
    """A table of the known datasets."""
    rows = [
        {key: dataset[key] for key in DATASET_COLUMNS}
        | {"looked for": ", ".join(dataset["locations"])}
        for dataset in result["datasets"]
    ]
    return [text_table(rows)]


def search_lines(result: Mapping[str, Any]) -> list[str]:
    """The trials, the protocol and the best trial."""
    best, metric = result["best"], result["selection_metric"]
    return [
        result["table"],
        f"({result['protocol']})",
        f"best: trial {best['trial']}, {metric} {best[metric]:.4f}; recipe {result['recipe']}, "
        f"model {result['model']}",
    ]


def pairs_lines(result: Mapping[str, Any]) -> list[str]:
    """The number of pairs, and the nonzero counts of skipped input with an example of each."""
    examples = {key: f" (such as {item_id!r})" for key, item_id in result["unknown"].items()}
    return [
        f"{result['pairs']:,} pairs of {result['users']:,} users",
        *(
            f"{key.replace('_', ' ')}: {count:,}{examples.get(key, '')}"
            for key, count in result["counts"].items()
            if count
        ),
    ]


def cache_lines(result: Mapping[str, Any]) -> list[str]:
    """The size of the cache, and how much of it an earlier run had written."""
    if "pairs" in result:
        lines = [f"log-probabilities of {result['pairs']:,} pairs"]
    else:
        size = f"{result['bytes'] / 1e6:,.0f} MB"
        lines = [f"{result['k']} items at each of {result['positions']:,} positions, {size}"]
    if result["parts_resumed"]:
        lines.append(f"resumed after {result['parts_resumed']} of {result['parts']} parts")
    return lines


def evaluation_lines(
    result: Mapping[str, Any], cut_off: int, *, with_strata: bool = False
) -> list[str]:
    """The tables, conditions and comparisons of an evaluation.

    Args:
        result: of ``evaluate``.
        cut_off: of the metrics beyond accuracy.
        with_strata: add the table by stratum.
    """
    rows = result["rows"]
    counts = [f"{key.replace('_', ' ')}: {n:,}" for key, n in result["counts"].items()]
    lines = [*result["warnings"], text_table(printed_rows(rows)), result["protocol"]]
    lines.append(", ".join(counts))
    lines += [*result["notes"], "", text_table(beyond_rows(rows, cut_off))]
    if with_strata:
        lines += ["", text_table(strata_table(result["strata"], result["metric"]))]
    lines += _settings_lines(result["baselines"])
    lines += [comparison["sentence"] for comparison in result["comparisons"]]
    return lines + [
        f"{row['metric']} of {row['system']}: {row['in_order']:.4f} in order, "
        f"{row['shuffled']:.4f} with histories shuffled ({row['relative']:+.1%}; 95 % interval "
        "{:+.4f} to {:+.4f})".format(*row["interval"])
        for row in result.get("order", ())
    ]


def recommendation_lines(result: Mapping[str, Any]) -> list[str]:
    """The list for one history or item with notes, or the counts of a file of lists."""
    if "shown" in result:
        return [result["shown"]]
    if "recommendations" not in result:
        names = ("users", "rows", "lists_cut_short")
        counts = _count_lines({name: result[name] for name in names})
        return [*counts, *result["notes"], result["time_input"]]
    recommendations = result["recommendations"]
    notes = [f"understood: {result['understood']}"] if "understood" in result else []
    notes += [f"plan: {name}={value}" for name, value in result.get("plan", {}).items()]
    if unknown := result.get("unknown_items"):
        notes.append(f"skipped {len(unknown)} ids outside the catalog, {unknown[0]!r} first")
    if features := result.get("unknown_features"):
        notes.append(f"the model does not know {', '.join(features)}")
    if result.get("fallback"):
        notes.append(f"no known item in the history; fallback: {result['fallback']}")
    if len(recommendations) < result["k"]:
        notes.append(f"only {len(recommendations)} items can be listed")
    if wording := result.get("wording"):
        notes.append(
            f"{wording['by_model']} sentences by {wording['model']}, {wording['by_template']} by "
            f"template, after {wording['drafts']} drafts"
        )
    why = [
        f"{row['rank']}. {row['explanation']['sentence']}"
        for row in recommendations
        if "explanation" in row
    ]
    rows = [
        {name: value for name, value in row.items() if name != "explanation"}
        for row in recommendations
    ]
    said = result["request"]["notes"] if "request" in result else []
    rest = [note for note in result["notes"] if note not in said]
    return [text_table(rows), *why, *notes, *rest]


def export_lines(result: Mapping[str, Any]) -> list[str]:
    """The shapes of the exported tables, the recall, and the version of a store."""
    lines = [f"{count:,} {name} x {result['width']}" for name, count in result["counts"].items()]
    if not result["scores_are_products"]:
        lines.append("products of these vectors exclude the transition prior's share of the scores")
    if parity := result.get("parity"):
        lines.append(
            f"logits of {parity['histories']:,} histories differ from PyTorch's by at most "
            f"{parity['max_logit_difference']:.1e}; {parity['identical_lists']:,} of their lists "
            "are identical"
        )
    lines += [
        f"recall@10 of {kind} against exact: {recall:.4f}"
        for kind, recall in result.get("recall_against_exact", {}).items()
    ]
    return lines + (_publication_lines(result) if "store" in result else [])


def _publication_lines(result: Mapping[str, Any]) -> list[str]:
    """The effect of an export on a store."""
    queries = "users" if result["recall_of_users"] else "items as queries; name users by --data"
    lines = [f"recall measured in the store with {result['recall_queries']:,} {queries}"]
    written = f"{result['written']:,} rows written"
    if result["resumed"]:
        written += f", {result['resumed']:,} from an interrupted export"
    if result["removed"]:
        written += f", {result['removed']:,} removed"
    lines.append(written)
    if not result["has_flat"] and result["ann"] is None:
        lines.append(f"{result['to']} has no exact search; its graph is built and read broadly")
    if not result["switches_at_once"]:
        lines.append(
            f"{result['to']} has no atomic switch: readers look up the live version, then open it"
        )
    if result["dropped"]:
        lines.append(f"dropped {', '.join(result['dropped'])}")
    lines.append(f"live: version {result['version']} of {result['store']}")
    return lines


def extension_lines(result: Mapping[str, Any]) -> list[str]:
    """The number of new items, where their vectors come from, and the known items of the file."""
    return [
        f"{result['new']:,} new items, vectors from {result['rows']}; {result['known']:,} of the "
        f"file were known; the catalog has {result['items']:,}"
    ]


def draft_lines(result: Mapping[str, Any]) -> list[str]:
    """The drafts by source, and what they cost or are worth."""
    sources = ", ".join(f"{count:,} by {name}" for name, count in result["by_source"].items())
    lines = [f"{result['drafts']:,} drafts: {sources}"]
    if "precision@5" in result:
        lines.append(
            f"{result['tags']:,} tags; precision@5 {result['precision@5']:.3f} on titles that were "
            "left out in turn"
        )
    if result.get("refused"):
        lines.append(f"{result['refused']:,} texts failed the check and were written again")
    if result.get("resumed"):
        lines.append(f"{result['resumed']:,} titles from an interrupted run")
    return lines


def review_lines(result: Mapping[str, Any]) -> list[str]:
    """The reviews, how far reviewers agree, and what was moved."""
    lines = [f"{result['reviews']:,} reviews of {result['drafts']:,} drafts"]
    for one in result["agreement"]:
        kappa = "undefined" if one["kappa"] is None else f"{one['kappa']:.2f}"
        names = " and ".join(one["reviewers"])
        lines.append(f"kappa of {names}: {kappa} ({one['num_drafts']:,} drafts)")
    if "imported" in result:
        lines.append(f"{result['imported']:,} reviews imported")
        lines += [f"skipped: {count:,} {why}" for why, count in result["skipped"].items()]
    if "records" in result:
        lines.append(f"{result['records']:,} records")
    if result["of_changed_drafts"]:
        lines.append(f"{result['of_changed_drafts']:,} reviews of drafts that changed since")
    if result["broken_lines"]:
        lines.append(f"{result['broken_lines']:,} unfinished lines of the log skipped")
    return lines


def _settings_lines(baselines: Sequence[Mapping[str, Any]]) -> list[str]:
    """The name and settings of each baseline that has any, as an argument of ``evaluate``."""
    return [
        baseline["name"]
        + (f"  (validation {baseline['validation']:.4f})" if "validation" in baseline else "")
        for baseline in baselines
        if baseline["settings"]
    ]


def _count_lines(counts: Mapping[str, int]) -> list[str]:
    return [f"{name.replace('_', ' ')}: {count:,}" for name, count in counts.items()]
