"""Boards at the bedside: what kinds there are, what is plugged in, how one becomes a gateway."""
