"""What commands share: options, paths, progress, and what is fit for a terminal."""
