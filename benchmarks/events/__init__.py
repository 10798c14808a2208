"""What features are worth, and what they cost."""
