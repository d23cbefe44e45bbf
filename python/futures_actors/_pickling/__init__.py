"""Pickles by value what the other process cannot import."""
