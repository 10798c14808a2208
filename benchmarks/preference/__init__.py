"""Preference optimisation on MovieLens-1M: its effect on items that users liked later."""
