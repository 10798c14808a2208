"""Logs in their raw form: sources, formats, columns, values, sidecar files and item files."""
