"""Transition priors: what followed the items of a history, added to the head's logits."""
