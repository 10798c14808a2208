"""The training loss of one batch under a model, a file per objective."""
