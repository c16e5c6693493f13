"""What this board's image freezes: its own _boot.py, since the log shares the chip with files."""

freeze("$(PORT_DIR)/modules", "rp2.py")  # noqa: F821
freeze("../common/rp2_files")  # noqa: F821
include("../common/manifest.py")  # noqa: F821
module("wiring.py", opt=2)  # noqa: F821
