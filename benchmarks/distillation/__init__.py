"""Distillation on MovieLens-1M and Beauty: what a small student keeps of a large teacher."""
