"""Explanations: whether the named titles cause the item, and what the sentences say."""
