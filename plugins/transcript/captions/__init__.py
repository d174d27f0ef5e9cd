"""From words to caption files."""
