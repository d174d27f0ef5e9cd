"""How a portal is told of a job's end: one try after the other, until it has taken it."""
