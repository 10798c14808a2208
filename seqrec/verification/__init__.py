"""Properties that a model must have for training, evaluation and serving to agree; see ``run``."""
