"""Preference data: pairs, labels, the files that hold them, and held-out users."""
