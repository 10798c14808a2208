"""Requests in words, compiled into items, conditions on the catalog's columns, and soft text."""
