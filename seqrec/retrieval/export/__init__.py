"""Vectors and ids for other retrieval systems: a file a target, each ``write`` and ``read``."""
