"""Run folders: one training run, several seeds, searches, caches; each resumable."""
