"""`python -m core.cli` is `amphipod`."""

from core.cli import main

main()
