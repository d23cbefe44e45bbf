"""Actors on a Ray cluster: what `futures_actors.ray` is made of. Imports nothing by itself."""
