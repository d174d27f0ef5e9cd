"""How good the pictures must be, found out on samples of the film before it is encoded."""
