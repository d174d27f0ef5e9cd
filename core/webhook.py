"""Where portals import `signature` from; kept for those that do."""

from core.callbacks.webhook import signature

__all__ = ["signature"]
