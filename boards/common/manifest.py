"""What every board freezes: MicroPython's own parts, then the gateway."""

freeze("$(PORT_DIR)/modules")  # noqa: F821
include("$(MPY_DIR)/extmod/asyncio")  # noqa: F821
include("../../firmware/manifest.py")  # noqa: F821
