"""The register of births: whole after any cut, and one line of a kind for two who are at once."""

from __future__ import annotations

import datetime as dt
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.secure_site import make_authority
from vitalkeep.errors import ToolError
from vitalkeep.keys.births import ACCEPTED, PROVISIONED, Register
from vitalkeep.keys.certificates import Signer
from vitalkeep.keys.private_files import write_file

NOW = dt.datetime(2026, 3, 14, 9, 26, 53, tzinfo=dt.timezone.utc)
BED = "0011223344556677"


@pytest.fixture
def office(tmp_path: Path) -> tuple[Register, Signer]:
    authority, signer = make_authority(tmp_path / "ca")
    return Register(authority), signer


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Have no file of this process grow beyond a size."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_line_that_was_cut_short_is_none_and_the_next_takes_its_place(
    office: tuple[Register, Signer],
) -> None:
    register, signer = office
    first = register.add(signer, PROVISIONED, BED, NOW, unique_id="c0")
    whole = register.path.read_bytes()
    register.add(signer, ACCEPTED, BED, NOW)
    line = register.path.read_bytes()[len(whole) :]
    for size in range(len(line)):
        register.path.write_bytes(whole + line[:size])
        assert [entry.hash for entry in register.entries()] == [first.hash]
    again = register.add(signer, ACCEPTED, BED, NOW)
    assert [entry.hash for entry in register.entries()] == [first.hash, again.hash]


def test_full_disk_is_said_and_leaves_the_lines_that_were_there(
    office: tuple[Register, Signer],
) -> None:
    register, signer = office
    register.add(signer, PROVISIONED, BED, NOW)
    before = register.path.read_bytes()
    with full_disk(len(before) + 20), pytest.raises(ToolError, match="File too large"):
        register.add(signer, ACCEPTED, BED, NOW)
    assert register.path.read_bytes() == before
    register.add(signer, ACCEPTED, BED, NOW)
    assert len(register.entries()) == 2


def test_of_many_at_once_one_begins_a_gateway(office: tuple[Register, Signer]) -> None:
    register, signer = office
    found: list[str] = []

    def begin(chip: int) -> None:
        entry = register.first(signer, PROVISIONED, BED, NOW, unique_id=f"c{chip}")
        found.append(entry.fields["unique_id"])

    threads = [threading.Thread(target=begin, args=(chip,)) for chip in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {register.entries()[0].fields["unique_id"]}
    assert len(register.entries()) == 1


def test_secret_that_found_no_room_leaves_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "vault"
    write_file(path, b"old")
    with full_disk(4), pytest.raises(ToolError, match="File too large"):
        write_file(path, b"a secret, and a long one")
    assert [found.name for found in tmp_path.iterdir()] == ["vault"]
    assert path.read_bytes() == b"old"
