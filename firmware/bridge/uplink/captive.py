"""Asks, without TLS, whether a login page stands where the sites should be."""

import asyncio

from micropython import const

from bridge.core import portal
from bridge.uplink.dial import dial, open_stream

_HTTP = const(80)
_TIMEOUT_MS = const(2000)


async def is_captive(host, hosts, interface):
    """Say whether a GET to port 80 of a site's address is answered by a captive portal.

    host       the address to ask; hosts: what the site is called, for redirects to itself
    interface  name of the link, None where it cannot be bound
    """
    head = bytearray()
    try:
        stream = open_stream(await dial(host, _HTTP, interface, _TIMEOUT_MS), None, None)
        await asyncio.wait_for_ms(_ask(stream, host, head), _TIMEOUT_MS)
    except (OSError, asyncio.TimeoutError):
        pass  # most sites have nothing there; what came until then may say enough
    return portal.is_portal(head, hosts)


async def _ask(stream, host, head):
    try:
        stream.write(portal.request(host))
        await stream.drain()
        while len(head) < portal.HEAD_MAX:
            part = await stream.read(portal.HEAD_MAX - len(head))
            if not part:
                return
            head.extend(part)
    finally:
        stream.close()
