"""`python -m core.worker core.actors ...`: Dramatiq's own command, whose processes nobody reads the environment of.

Dramatiq's first process never imports our code, and its environment would be open to whoever runs as the same user.
"""

from __future__ import annotations

import multiprocessing
import sys

from core.process import environment, parent

parent.follow_named()
environment.seclude()

from dramatiq.cli import main  # noqa: E402  # once nothing can be read any more

if __name__ == "__main__":
    multiprocessing.set_start_method("fork")  # what Python 3.14 does instead starts a process that is open again
    sys.exit(main())  # type: ignore[no-untyped-call]  # has no annotations
