"""Peers are given the bytes that their formats really take."""

import json
import zlib

import pytest

from hil.bench import peers

ROW = {"SpO2": 97, "Temp": 36.5}


def test_json_line_is_compact_and_reads_as_what_was_meant() -> None:
    text = peers.to_json(peers.line("bed", 1500, ROW))
    assert b" " not in text
    assert text.endswith(b"\n")
    found = json.loads(text)
    assert (found["dev"], found["SpO2"], found["Temp"]) == ("bed", 97, 36.5)
    assert found["t"] - json.loads(peers.to_json(peers.line("bed", 0, ROW)))["t"] == 1500


def test_sizes_count_every_message_and_deflate_each_commit_by_itself() -> None:
    lines = [peers.line("bed", step * 1000, ROW) for step in range(4)]
    text = b"".join(map(peers.to_json, lines))
    apart = peers.sizes([[line] for line in lines])
    together = peers.sizes([lines])
    assert apart[peers.JSON] == together[peers.JSON] == len(text)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    assert together[peers.DEFLATED] == len(deflate.compress(text) + deflate.flush())
    assert (apart[peers.DEFLATED] or 0) > (together[peers.DEFLATED] or 0)


def test_cbor_counts_its_own_encoding() -> None:
    cbor2 = pytest.importorskip("cbor2")
    line = peers.line("bed", 0, ROW)
    assert peers.sizes([[line, line]])[peers.CBOR] == 2 * len(cbor2.dumps(line))


def test_cbor_is_none_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "to_cbor", None)
    assert peers.sizes([[peers.line("bed", 0, ROW)]])[peers.CBOR] is None
