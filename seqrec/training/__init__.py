"""The symmetric loop: Lightning's Trainer around an objective."""
