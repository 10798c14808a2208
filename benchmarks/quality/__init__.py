"""What recipes reach beside floors and baselines, and what each switch is worth."""
