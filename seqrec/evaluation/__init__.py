"""Judging rankings: queries, metrics, significance."""
