"""Explanations in words: facts, a sentence by template or by a language model, and its check."""
