"""What a summary costs with 1,000 gateways and three months of sectors (-s says the times)."""

import time

from vitalkeep.hub.exchange import wire
from vitalkeep.hub.exchange.holdings import Holdings, View
from vitalkeep.hub.exchange.plan import lack, wants
from vitalkeep.hub.exchange.wire import Speaker
from vitalkeep.hub.sectors import OPEN, Place

GATEWAYS = [number.to_bytes(8, "big") for number in range(1000)]
SEALED = 24 * 90
ME = Speaker(b"site---1", b"epoch--1")


def ask(held, view):
    """Return the bytes of the summaries that bring a view up to date, and the logs in them."""
    size, changed, more = 0, [], True
    while more:
        instance = view.instance or bytes(8)
        news = held.since(ME, instance, view.version, len(view.names), 1 << 20)
        body = wire.pack_summary(news)
        summary = wire.parse_summary(body)
        changed += view.take(summary)
        size, more = size + len(body), summary.more
    return size, changed


def test_summary_costs_what_its_news_costs():
    held, view = Holdings(b"instance"), View()
    streams = [(gateway, b"logid---", cls) for gateway in GATEWAYS for cls in range(3)]
    for stream in streams:
        held.set_sealed(stream, 0, SEALED - 1)
        held.set(Place(*stream, SEALED), 900, OPEN)
    first, _ = ask(held, view)
    assert first < 300_000
    for gateway in GATEWAYS:
        held.set(Place(gateway, b"logid---", 0, SEALED), 905, OPEN)
    began = time.monotonic()
    size, changed = ask(held, view)
    looked = time.monotonic()
    assert size < 40_000
    assert len(changed) == len(GATEWAYS)
    assert ask(held, view)[0] < 300
    empty = {stream: lack(None, view.held[stream]) for stream in streams}
    asked = wants(empty, (0, 1, 2), None, wire.ASK_MAX)
    assert len(asked) == wire.ASK_MAX
    print(
        f"first summary {first} bytes; a second of all gateways {size} bytes, "
        f"{(looked - began) * 1000:.0f} ms; what an empty store asks first "
        f"{(time.monotonic() - looked) * 1000:.0f} ms"
    )
