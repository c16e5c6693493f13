"""What is on a technician's bench: boards with their loaders, ports and drives, all simulated."""
