"""What a worker does with one message: a step, or a portal to be told."""
