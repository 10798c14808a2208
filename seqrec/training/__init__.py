"""Training in epochs: Lightning's Trainer around an objective."""
