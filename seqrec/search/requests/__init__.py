"""Requests that are synthesised from the columns of a catalog, to train and validate search."""
