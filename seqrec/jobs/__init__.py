"""One file a verb. Only these, and ``config``, read recipe fields."""
