"""What is answered on the USB console (docs/formats/console.md); loaded for one request.

"vk?" asks how the gateway is, and anybody may: no value and no secret is in the answer. "vk:" and
a command is obeyed like one over MQTT, under the same key, for the conversation that the last
"vk?" began.
"""

import asyncio
import json
import os
from binascii import a2b_base64, b2a_base64, hexlify

from micropython import const

from bridge.forget import forget
from bridge.inquiry import report

_PIECE = const(48)  # bytes in a line: 7 ms at 115200 bit/s
_PACE_MS = const(10)


async def answer(gateway, console, line, beat):
    """Answer one request line, if it is one."""

    async def send(part):
        await _say(":", part, beat)

    sender = gateway.forwarders[0].sender
    try:
        if line == b"vk?":
            console.nonce = os.urandom(8)
            console.desk = gateway.open_desk(console.nonce, sender)
            fields = report(gateway, sender)
            fields["nonce"] = hexlify(console.nonce).decode()
            await _say("?", json.dumps(fields).encode(), beat)
        elif line.startswith(b"vk:") and console.desk is not None:
            try:
                payload = a2b_base64(line[3:])
            except ValueError:
                gateway.counters.add("console_malformed")
                return
            await console.desk.obey(payload, send)
    finally:
        forget("inquiry")
        forget("console_desk")


async def _say(kind, data, beat):
    """Print bytes as lines: "vk", the kind, number/count, base64; others' may come between."""
    count = -(-len(data) // _PIECE)
    for number in range(count):
        piece = b2a_base64(data[number * _PIECE : (number + 1) * _PIECE])
        print("vk%s %d/%d %s" % (kind, number + 1, count, piece.decode().strip()))
        beat()
        await asyncio.sleep_ms(_PACE_MS)
