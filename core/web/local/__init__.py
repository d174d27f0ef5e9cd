"""Without a broker `amphipod serve` does the jobs itself."""
