"""From vectors to ranked lists and retrieval systems: tensors, arrays and callables only."""
