"""The value of reinforcement learning on real histories, and its limits."""
