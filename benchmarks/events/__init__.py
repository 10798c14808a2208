"""Value and cost of event features."""
