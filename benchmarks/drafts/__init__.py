"""Drafts: how many drafted tags people gave, and a simulated reviewer of summaries."""
