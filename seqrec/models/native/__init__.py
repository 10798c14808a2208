"""The native decoder and its blocks."""
