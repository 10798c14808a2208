"""Ranked lists and retrieval indexes from vectors; works on tensors, arrays and callables."""
