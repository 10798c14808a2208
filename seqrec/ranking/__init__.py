"""Whatever scores a catalog after a history, by one interface."""
