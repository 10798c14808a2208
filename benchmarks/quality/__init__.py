"""What recipes reach beside baselines and baselines, and what each switch is worth."""
