"""From items to tokens, windows and packed rows: NumPy and tokenizers, no torch."""
