"""What this board's image freezes."""

freeze("$(PORT_DIR)/modules")  # noqa: F821
include("../common/manifest.py")  # noqa: F821
module("wiring.py", opt=2)  # noqa: F821
