"""Explicit preferences: pairs, labels, and the users that are held out."""
