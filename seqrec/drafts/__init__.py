"""Drafts of tags and summaries for titles, which people review."""
