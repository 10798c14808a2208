"""What is learned: one implementation an objective, found by its name in the recipe."""
