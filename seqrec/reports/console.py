"""The lines that ``seqrec train`` prints of its result."""

from collections.abc import Mapping
from typing import Any


def training_lines(result: Mapping[str, Any]) -> list[str]:
    """The lines of one run, or of the runs of several seeds."""
    if "runs" in result:
        return _seeds_lines(result)
    metrics, details = _format_metrics(result["validation"]), result["details"]
    has_epochs = result["best_epoch"] is not None
    start = _format_metrics(result["validation_before"]) if has_epochs else ""
    return [
        _progress_line(result) if has_epochs else _updates_line(result),
        *_events_lines(details),
        *([f"before: {start}"] if start else []),
        f"validation: {metrics}" if metrics else "no validation part: the last weights are kept",
        *_held_out_lines(details.get("held_out")),
        f"({result['protocol']})",
    ]


def _seeds_lines(result: Mapping[str, Any]) -> list[str]:
    metrics = "  ".join(
        f"{key} {value:.4f} (sd {result['sd'][key]:.4f})"
        for key, value in result["validation"].items()
    )
    return [
        f"{len(result['runs'])} seeds, {result['train_seconds']:.0f} s of training",
        *_events_lines(result["runs"][0]["details"]),
        f"validation: {metrics}",
        f"({result['protocol']})",
    ]


def _format_metrics(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{key} {value:.4f}" for key, value in metrics.items())


def _progress_line(result: Mapping[str, Any]) -> str:
    """The length of training in epochs, and its outcome."""
    best = f"best epoch {result['best_epoch']} of {result['num_epochs']}"
    if not result["best_epoch"]:
        best = "no epoch within objective.tolerance was better: the weights of the start are kept"
    return f"{best}, {result['costs']['train_seconds']:.0f} s of training"


def _updates_line(result: Mapping[str, Any]) -> str:
    """The length of training in updates, and its outcome."""
    details = result["details"]
    return (
        f"{result['num_steps']} updates ({details['reason']}); reward "
        f"{details['reward_before']:.4f} -> {details['reward']:.4f}, KL "
        f"{details['kl_nats']:.3f} nats per item, {result['costs']['train_seconds']:.0f} s"
    )


def _events_lines(details: Mapping[str, Any]) -> list[str]:
    """The number of interactions merged and dropped, for a model that reads event features."""
    events = details.get("events")
    if events is None:
        return []
    return [
        f"events: {events['interactions']:,} interactions, of which {events['merged']:,} merged, "
        f"{events['dropped']:,} dropped; {events['events_read']:,} events read, "
        f"{events['tokens_per_event']} tokens each"
    ]


def _held_out_lines(held_out: Mapping[str, Any] | None) -> list[str]:
    """A reward model's results on held-out users, beside those of its baselines."""
    if held_out is None:
        return []
    lines = [f"held out: {held_out['users']:,} users, {held_out['answers']:,} answers"]
    for name, metrics in {"model": held_out["model"], **held_out["baselines"]}.items():
        lines.append(f"  {name.replace('_', ' ')}: {_format_metrics(metrics)}")
    gain = held_out["auc_gain"]
    difference = f"auc of the model over {name.replace('_', ' ')}: {gain['difference']:+.4f}"
    interval = f"[{gain['low']:+.4f}, {gain['high']:+.4f}], p {gain['p_value']:.3g}"
    return [*lines, f"  {difference} {interval}"]
