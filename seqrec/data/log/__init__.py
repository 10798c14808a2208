"""Logs as they come: sources, formats, columns, values, and everything read beside them."""
