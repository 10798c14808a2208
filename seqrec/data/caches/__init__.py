"""Model outputs kept on disk: a reference's log-probabilities, a teacher's top-k logits."""
