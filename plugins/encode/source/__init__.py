"""What is read: the source's tracks, how they are meant, its packets."""
