"""Simulated logs whose best attainable metrics are known."""
