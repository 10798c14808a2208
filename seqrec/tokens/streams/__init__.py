"""Streams of packed training batches, one file a kind of data."""
