"""How long what a job holds on the disk is needed, and its removal."""
