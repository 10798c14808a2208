"""Reviews of drafts by people: a local page, an append-only log, and what reviews become."""
