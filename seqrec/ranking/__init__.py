"""Rankers: one interface for everything that scores a catalog after a history."""
