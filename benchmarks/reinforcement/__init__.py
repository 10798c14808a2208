"""What reinforcement learning is worth on real histories, and what stops it."""
