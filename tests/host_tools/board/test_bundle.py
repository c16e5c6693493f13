"""A bundle's bytes: what is packed is parsed, and nothing else is."""

import hashlib
import struct
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core import bundle as layout
from bridge.core.bundle import Manifest, Refused, parse_version
from bridge.core.errors import FormatError
from vitalkeep.board.bundle import pack, parse
from vitalkeep.errors import ToolError

MANIFEST = Manifest("0.2.0", "ESP32_GENERIC_S3", 0x2B06, 1)
GOOD = pack({"bridge/core/mqtt.mpy": b"M" * 300, "wiring.mpy": b"W"}, MANIFEST)


def test_what_is_packed_is_parsed_and_each_path_is_found() -> None:
    found = parse(GOOD.data)
    assert found.data == GOOD.data
    assert found.facts() | {"digest": ""} == {
        "version": "0.2.0", "board": "ESP32_GENERIC_S3", "mpy": 0x2B06, "config": 1,
        "size": len(GOOD.data), "digest": "", "signed": False,
    }  # fmt: skip
    size, about, entries = layout.parse_head(GOOD.data)
    assert (size, entries) == (len(GOOD.data), 4)  # bridge, bridge/core, and two files
    index = GOOD.data[layout.HEAD_SIZE + about :][: entries * layout.ENTRY_SIZE]
    places = {index[at : at + 4]: index[at + 4 : at + 8] for at in range(0, len(index), 8)}
    key = layout.path_key("/bridge/core/mqtt.mpy").to_bytes(4, "little")
    at = int.from_bytes(places[key], "little")
    assert GOOD.data[at : at + 300] == b"M" * 300


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(GOOD.data) - 1), st.integers(1, 255))
def test_other_bytes_are_refused_and_raise_nothing_else(data: bytes, at: int, change: int) -> None:
    with pytest.raises(ToolError):
        parse(data)
    with pytest.raises(ToolError):
        parse(GOOD.data[:at])
    spoilt = bytearray(GOOD.data)
    spoilt[at] ^= change
    if at < len(spoilt) - layout.SIGNATURE_SIZE:
        with pytest.raises(ToolError):
            parse(bytes(spoilt))


@pytest.mark.parametrize(
    "about",
    [
        b"[" * 2000, b'{"version":' * 180, b"[]", b"7", b"{}", b"\xff\xfe{", b'{"version": [1]}',
        b'{"version": "1", "board": "b", "mpy": true, "config": 1}',
        b'{"version": "1.x", "board": "b", "mpy": 1, "config": 1}',
        b'{"version": "1", "board": "b", "mpy": 1, "config": 1, "base": 2}',
        b'{"version": "1", "board": "b", "mpy": 1, "config": 1, "base": "1", "patch": 3}',
        b'{"version": "1", "board": "b", "mpy": 1, "config": 1, "base": "1", "patch": [3]}',
    ],
)  # fmt: skip
def test_a_whole_file_whose_manifest_makes_no_sense_is_refused(about: bytes) -> None:
    size = layout.HEAD_SIZE + len(about) + layout.TAIL_SIZE
    body = struct.pack(layout.HEAD, layout.MAGIC, size, len(about), 0) + about
    whole = body + hashlib.sha256(body).digest() + bytes(layout.SIGNATURE_SIZE)
    with pytest.raises(ToolError, match=r"no manifest|version"):
        parse(whole)


def test_a_signature_is_its_makers_alone() -> None:
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    signed = GOOD.sign(key)
    assert parse(signed.data).is_signed_by(key.public_key())
    assert not signed.is_signed_by(other.public_key())
    assert not GOOD.is_signed_by(key.public_key())
    assert not replace(signed, body=signed.body + b"x").is_signed_by(key.public_key())


def test_paths_that_a_board_would_take_for_one_another_are_refused() -> None:
    twins = {"hxcmqurip.mpy": b"", "oxexryexh.mpy": b""}  # CRC-32 0x79603304 with a slash
    with pytest.raises(ToolError, match="CRC-32"):
        pack(twins, MANIFEST)


def test_a_firmware_that_is_too_large_is_refused() -> None:
    with pytest.raises(ToolError, match="at most"):
        pack({"a.mpy": bytes(layout.BUNDLE_MAX)}, MANIFEST)


@pytest.mark.parametrize(
    ("cause", "changes", "older"),
    [
        ("board", {"board": "RPI_PICO2_W"}, True),
        ("mpy", {"mpy": 6}, True),
        ("config", {"config": 0}, True),
        ("older", {"version": "0.10.0"}, False),
        ("", {"version": "0.10.0"}, True),
        ("", {"version": "0.2.0"}, False),
        ("", {"version": "0.1.9"}, False),
    ],
)
def test_a_gateway_takes_what_is_for_it(
    cause: str, changes: dict[str, object], older: bool
) -> None:
    facts = {"version": "0.2.0", "board": "ESP32_GENERIC_S3", "mpy": 0x2B06, "config": 1}
    running = Manifest(*(facts | changes).values())
    try:
        MANIFEST.check(running, older)
        found = ""
    except Refused as error:
        found = error.cause
    assert found == cause


def test_versions_compare_as_numbers() -> None:
    assert parse_version("0.10.0") > parse_version("0.9.9")
    with pytest.raises(FormatError):
        parse_version("0.2.0-rc1")
