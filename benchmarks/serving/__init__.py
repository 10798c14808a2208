"""Measurements of ``seqrec serve``, with the load from another process."""
