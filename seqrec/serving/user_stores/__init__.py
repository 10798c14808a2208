"""Stores of users' histories, so that clients send new events only."""
