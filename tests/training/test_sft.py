"""SFT reaches the best that a simulated world allows."""
