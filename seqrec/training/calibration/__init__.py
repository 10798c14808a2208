"""What is chosen on validation after training: prior strength, cold items' vectors."""
