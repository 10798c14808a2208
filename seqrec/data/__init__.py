"""Logs, prepared folders, preference data, caches of model outputs, and simulated logs."""
