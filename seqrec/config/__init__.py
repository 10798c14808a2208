"""Recipes: data with a strict schema. Parsed and checked without torch."""
