"""`vitalkeep hub doctor`: what keeps a hub from running well, and what to do about each thing."""
