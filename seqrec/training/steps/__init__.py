"""The training loss of one batch under a model, one file an objective."""
