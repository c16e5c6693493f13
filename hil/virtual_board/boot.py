"""What happens at power-on of a virtual board, up to the firmware's own main.py.

micropython -X heapsize=... boot.py <folder of shadow modules> <folder that holds hil>
"""

import asyncio  # noqa: F401  before `time` is shadowed: the scheduler keeps the built-in ticks
import sys

sys.path[0] = ""  # of the board's file system, as on boards; it was the folder of this file
sys.path[:0] = [sys.argv[1], sys.argv[2]]

import tls_stalls  # noqa: E402
import vboard  # noqa: E402

# No file can stand in for `tls`, but a module that is there already can: each on the one before.
sys.modules["tls"] = tls_stalls
sys.modules["tls"] = __import__("dated_tls")
sys.modules["micropython"] = __import__("console_switch")
sys.path[:0] = vboard.settings["path"]
del sys.argv[1:]
__import__("main")
