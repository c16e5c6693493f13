"""Boards at the bedside: what kinds there are, which are plugged in, and how one becomes a gateway."""
