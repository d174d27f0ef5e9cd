"""A long film divided, encoded in parts and joined."""
