"""Quality of the recipes beside tuned baselines, and ablations of each option."""
