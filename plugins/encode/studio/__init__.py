"""Two takes of one talk composed to one film."""
