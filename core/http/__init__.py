"""Requests to others: a portal, or an address that a stranger has named."""
