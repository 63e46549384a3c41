"""Hostile inputs: a result or a RefmakerError, in bounded time and memory."""
