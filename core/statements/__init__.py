"""Learning records from whoever sends them to the record stores, each once and in order."""
