"""The plugins of this process: found, loaded, asked; and whether it is Amphipod's own code that runs."""
