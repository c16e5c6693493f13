"""What every board freezes beside its port's own modules: asyncio, then the gateway."""

include("$(MPY_DIR)/extmod/asyncio")  # noqa: F821
include("../../firmware/manifest.py")  # noqa: F821
