"""What Amphipod serves over HTTP; needs the extra `web`."""
