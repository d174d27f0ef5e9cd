"""The shared file system: a job's folder, its files, and what is published out of it."""
