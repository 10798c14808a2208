"""What behaviours are worth, and what they cost."""
