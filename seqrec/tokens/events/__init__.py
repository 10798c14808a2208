"""The event grammar: side information of interactions as tokens."""
