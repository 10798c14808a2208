"""From recipe fields to objects: models, rewards, baselines, search spaces."""
