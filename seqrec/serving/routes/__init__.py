"""The routes of a server, by subject."""
