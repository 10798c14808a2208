"""Export of vectors and ids to other systems: one file per target, with ``write`` and ``read``."""
