"""What people look at: made from plain rows and run folders' files alone."""
