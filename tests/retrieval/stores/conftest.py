"""Chroma's engine is chosen before any test imports its package."""

from tests.retrieval.stores.places import use_whole_chroma

use_whole_chroma()
