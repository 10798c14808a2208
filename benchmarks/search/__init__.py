"""Requests in words: how often the next item is found when a request describes it."""
