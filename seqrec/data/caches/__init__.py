"""Model outputs cached on disk: reference log-probabilities and teacher top-k log-probabilities."""
