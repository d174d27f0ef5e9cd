"""Where portals import `sign` from, for the tracker's URL; kept for those that do."""

from core.statements.visitor_token import read, sign

__all__ = ["read", "sign"]
