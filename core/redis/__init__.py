"""The way to Redis, and what all hosts of a service agree on there. Needs no Dramatiq."""
