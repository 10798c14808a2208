"""Preference optimisation on MovieLens-1M: what it does to what people later liked."""
