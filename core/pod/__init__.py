"""Esup-Pod: its messages, its API, its settings, and its runner managers' API. Its server is not changed by a line."""
