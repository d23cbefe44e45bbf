"""Starts the processes of actors, and runs in them."""
