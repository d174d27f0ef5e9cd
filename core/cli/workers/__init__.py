"""Commands that work, and the one that shows who does."""
