"""The world around a gateway on 32 bits: time that jumps, lines that speak, sites that answer.

Everything here belongs to the rig and is loaded before anything of the firmware is counted. What
it has to remember (flash, sites' stores) is in files, which this build keeps outside its heap.
"""

import json

with open("order.json") as _file:
    order = json.load(_file)

# The simulated time. It starts far ahead of the real one, by which the build's asyncio (in C)
# dates tasks that are to run at once: so they are always due. Half a period of ticks is farther.
now_ms = 300000000
cable = True
hosts = {}  # (host, port): function that makes the far end of a new connection
lines = {}  # UART number: what is plugged in there
