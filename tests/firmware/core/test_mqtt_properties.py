"""The codec against another reading of the standard: any packet, cut anyhow, and any garbage."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.core import mqtt
from bridge.core.errors import ProtocolError

MAX = 4096
CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP = 2, 3, 4, 9, 11, 13

identifiers = st.integers(1, 65535)
# Any character but the null one and surrogates (1.5.3)
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
topics = names.filter(len)
payloads = st.binary(max_size=600)


# --- the other reading: one number, one string, one packet at a time ---


def number(value):
    """Write a remaining length as the base-128 digits it is (2.2.3)."""
    digits = [value % 128]
    while value := value // 128:
        digits[-1] += 128
        digits.append(value % 128)
    return bytes(digits)


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return len(data).to_bytes(2, "big") + data


def whole(first, body):
    return bytes([first]) + number(len(body)) + body


class Reader:
    """Takes a packet apart."""

    def __init__(self, packet):
        self.first = packet[0]
        size, at = 0, 1
        while True:
            size += (packet[at] % 128) * 128 ** (at - 1)
            at += 1
            if packet[at - 1] < 128:
                break
        assert at <= 5
        self.rest = packet[at:]
        assert len(self.rest) == size

    def take(self, count):
        assert len(self.rest) >= count
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def number(self):
        return int.from_bytes(self.take(2), "big")

    def string(self):
        return self.take(self.number())


# --- from the broker ---

packets = st.one_of(
    st.tuples(st.booleans(), st.integers(0, 255)).map(
        lambda f: (whole(0x20, bytes(f)), (CONNACK, 0, f[1], b"", "", b"", 0, f[0], False, False))
    ),
    st.tuples(identifiers, st.lists(st.sampled_from([0, 1, 128]), min_size=1, max_size=9)).map(
        lambda f: (
            whole(0x90, f[0].to_bytes(2, "big") + bytes(f[1])),
            (SUBACK, f[0], 0, bytes(f[1]), "", b"", 0, False, False, False),
        )
    ),
    st.tuples(st.sampled_from([PUBACK, UNSUBACK]), identifiers).map(
        lambda f: (
            whole(f[0] << 4, f[1].to_bytes(2, "big")),
            (f[0], f[1], 0, b"", "", b"", 0, False, False, False),
        )
    ),
    st.just((b"\xd0\x00", (PINGRESP, 0, 0, b"", "", b"", 0, False, False, False))),
    st.tuples(topics, payloads, st.integers(0, 1), identifiers, st.booleans(), st.booleans()).map(
        lambda f: (
            whole(
                0x30 + 8 * f[4] + 2 * f[2] + f[5],
                text(f[0]) + (f[3].to_bytes(2, "big") if f[2] else b"") + f[1],
            ),
            (PUBLISH, f[3] * f[2], 0, b"", f[0], f[1], f[2], False, f[5], f[4]),
        )
    ),
)


def facts(packet):
    return (
        packet.type,
        packet.packet_id,
        packet.code,
        packet.codes,
        packet.topic,
        packet.payload,
        packet.qos,
        packet.session_present,
        packet.retain,
        packet.dup,
    )


def decode(data, sizes):
    """Return the facts of all packets in `data`, fed in pieces of the given sizes in turn."""
    decoder = mqtt.Decoder(MAX)
    found, at, turn = [], 0, 0
    while at < len(data):
        at += decoder.feed(data[at : at + sizes[turn % len(sizes)]])
        turn += 1
        while (packet := decoder.next_packet()) is not None:
            found.append(facts(packet))
    return found


@given(st.lists(packets, max_size=12), st.lists(st.integers(1, 900), min_size=1, max_size=8))
def test_what_a_broker_sends_is_read_however_it_is_cut(made, sizes):
    assert decode(b"".join(data for data, _ in made), sizes) == [fact for _, fact in made]


@given(st.binary(max_size=400), st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_garbage_is_packets_or_one_named_error(data, sizes):
    try:
        found = decode(data, sizes)
    except ProtocolError as error:
        assert str(error)
    else:
        assert len(found) <= len(data) // 2


@given(packets, st.data())
def test_spoilt_packet_is_another_or_a_named_error(made, draw):
    data = bytearray(made[0])
    data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        decode(bytes(data), [64])
    except ProtocolError as error:
        assert str(error)


@given(st.integers(MAX - 4, 268435455))
def test_giant_is_refused_at_its_head(size):
    decoder = mqtt.Decoder(MAX)
    head = b"\x30" + number(size)
    for byte in head[:-1]:
        decoder.feed(bytes([byte]))
        assert decoder.next_packet() is None
    decoder.feed(head[-1:])
    try:
        assert decoder.next_packet() is None
        assert len(head) + size <= MAX
    except ProtocolError as error:
        assert str(MAX) in str(error)


# --- to the broker ---


@given(topics, payloads, st.integers(0, 1), identifiers, st.booleans(), st.booleans())
def test_publish(topic, payload, qos, identifier, retain, dup):
    read = Reader(mqtt.publish(topic, payload, qos, identifier, retain, dup))
    assert read.first == 0x30 + 8 * dup + 2 * qos + retain
    assert read.string().decode() == topic
    if qos:
        assert read.number() == identifier
    assert read.rest == payload


@given(topics, st.integers(0, 40000), identifiers)
def test_publish_head(topic, size, identifier):
    buffer = bytearray(len(topic.encode()) + 16 + size)
    head = mqtt.publish_head(buffer, topic.encode(), size, identifier)
    read = Reader(bytes(buffer[: head + size]))
    assert read.first == 0x32
    assert read.string().decode() == topic
    assert read.number() == identifier
    assert len(read.rest) == size


@given(
    names,
    st.integers(0, 65535),
    st.none() | st.tuples(topics, payloads, st.booleans()),
    st.none() | st.tuples(names, st.none() | names),
)
def test_connect(client_id, keep_alive_s, will, login):
    user, password = login or (None, None)
    topic, payload, retain = will or (None, b"", False)
    read = Reader(mqtt.connect(client_id, keep_alive_s, topic, payload, retain, user, password))
    assert read.first == 0x10
    assert read.string() == b"MQTT"
    assert read.take(1) == b"\x04"
    flags = read.take(1)[0]
    assert read.number() == keep_alive_s
    assert read.string().decode() == client_id
    assert flags & 3 == 2  # a clean session
    assert bool(flags & 4) == (will is not None)
    if will:
        assert flags >> 3 & 3 == 1
        assert bool(flags & 0x20) == retain
        assert read.string().decode() == topic
        assert read.string() == payload
    assert bool(flags & 0x80) == (login is not None)
    assert bool(flags & 0x40) == (password is not None)
    if user is not None:
        assert read.string().decode() == user
    if password is not None:
        assert read.string().decode() == password
    assert read.rest == b""


@given(identifiers, st.lists(st.tuples(topics, st.integers(0, 1)), min_size=1, max_size=6))
def test_subscribe_and_unsubscribe(identifier, filters):
    read = Reader(mqtt.subscribe(identifier, filters))
    assert (read.first, read.number()) == (0x82, identifier)
    found = []
    while read.rest:
        found.append((read.string().decode(), read.take(1)[0]))
    assert found == filters
    read = Reader(mqtt.unsubscribe(identifier, [name for name, _ in filters]))
    assert (read.first, read.number()) == (0xA2, identifier)
    assert [read.string().decode() for _ in filters] == [name for name, _ in filters]
    assert read.rest == b""
    read = Reader(mqtt.puback(identifier))
    assert (read.first, read.number(), read.rest) == (0x40, identifier, b"")


@given(st.lists(st.integers(0, 60), max_size=300))
def test_window_never_holds_an_identifier_twice(steps):
    waiting, held = mqtt.Unacknowledged(), []
    for step in steps:
        if step < 30 and not waiting.full():
            taken = waiting.take()
            assert taken not in held
            held.append(taken)
        elif held:
            waiting.acknowledge(held.pop(step % len(held)))
        assert waiting.count == len(held) <= mqtt.WINDOW
