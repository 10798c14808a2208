"""Settings chosen on validation after training: prior strength, cold-start vectors."""
