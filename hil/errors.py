"""Expected failures of the rig: what went wrong and what to do, without a traceback."""

from vitalkeep.errors import ToolError


class RigError(ToolError):
    """A simulated ward could not be set up, or broke."""
