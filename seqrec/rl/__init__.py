"""Reinforcement learning: generate, score, guard, update."""
