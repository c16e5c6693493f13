"""`python -m vitalkeep`."""

from vitalkeep.cli import main

main()
