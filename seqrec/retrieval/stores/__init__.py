"""Vector databases: one interface, a file for each store, and the publication of a version."""
