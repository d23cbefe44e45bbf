"""The demo: an index that actors hold, what it shows, and how that looks on a terminal."""
