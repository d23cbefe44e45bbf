"""The parts of `futures_actors.ray`, actors on a Ray cluster. It imports nothing by itself."""
