"""Sound: brought to one form and loudness, encoded."""
