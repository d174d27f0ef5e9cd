"""A heavy step in a child process of its own: started, watched, ended."""
