"""What happens at power-on of a virtual board, up to the firmware's own main.py.

micropython -X heapsize=... boot.py <folder of shadow modules> <folder of the rig>
"""

import asyncio  # noqa: F401  before `time` is shadowed: the scheduler keeps the built-in ticks
import sys

sys.path[:0] = [sys.argv[1], sys.argv[2]]

import vboard  # noqa: E402

sys.path[:0] = vboard.settings["path"]
__import__("main")
