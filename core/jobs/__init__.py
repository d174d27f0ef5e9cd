"""A portal's side of the queue: submit, status, watch, cancel, retry, tell, resume.

Importing it needs neither av nor dramatiq nor redis; they are loaded when something is sent or asked.
"""

from core.jobs.control import cancel, resume, retry, tell
from core.jobs.progress import Status, StepStatus, status, watch
from core.jobs.submission import send, sources, submit

__all__ = ["Status", "StepStatus", "cancel", "resume", "retry", "send", "sources", "status", "submit", "tell", "watch"]
