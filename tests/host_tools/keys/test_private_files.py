"""Who may read a file with a secret, also where systemd wrote it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from vitalkeep.errors import ToolError
from vitalkeep.keys.private_files import check_private, read_secret_file

CONTENT = "the passphrase"
LIST = "system.posix_acl_access"
US = os.geteuid()
OWNER, USER, GROUP, GROUP_BY_ID, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NOBODY = 0xFFFFFFFF


def access(*named: tuple[int, int, int], group: int = 0) -> bytes:
    """Return an access list: the owner reads, and so do those who are named."""
    entries = [(OWNER, 4, NOBODY), *named, (GROUP, group, NOBODY), (MASK, 4, NOBODY)]
    entries = sorted([*entries, (OTHER, 0, NOBODY)])
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


# As systemd 252 leaves a file of LoadCredential= on a tmpfs, for the user of the service.
GIVEN = access((USER, 4, US))


def write(folder: Path, name: str = "vault.passphrase", given: bytes | None = GIVEN) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("correct horse\n")
    path.chmod(0o400 if given else 0o440)
    if given:
        try:
            os.setxattr(path, LIST, given)
        except OSError as error:
            pytest.skip(f"no access lists here: {error}")
        assert path.stat().st_mode & 0o777 == 0o440
    return path


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "credentials"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def test_what_systemd_gives_to_this_user_alone_is_private(credentials: Path) -> None:
    assert read_secret_file(write(credentials), CONTENT) == b"correct horse"


@pytest.mark.parametrize(
    "given",
    [
        None,
        access((USER, 4, US + 1)),
        access((USER, 4, US), (USER, 4, US + 1)),
        access((USER, 4, US), (GROUP_BY_ID, 4, 7)),
        access((USER, 4, US), group=4),
    ],
    ids=["of a group", "another user's", "two users'", "a named group's", "the group's as well"],
)
def test_what_others_read_is_none_though_it_lies_there(credentials: Path, given: bytes) -> None:
    with pytest.raises(ToolError, match="lets others in"):
        read_secret_file(write(credentials, given=given), CONTENT)


def test_the_same_file_elsewhere_is_refused(
    credentials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials.mkdir()
    elsewhere = write(tmp_path / "elsewhere")
    with pytest.raises(ToolError, match="lets others in"):
        check_private(elsewhere, 0o600, CONTENT)
    for folder in (tmp_path / "gone", ""):
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
        with pytest.raises(ToolError, match="lets others in"):
            check_private(elsewhere, 0o600, CONTENT)


def test_what_everybody_reads_is_refused_there_too(credentials: Path) -> None:
    path = write(credentials)
    path.chmod(0o444)
    with pytest.raises(ToolError, match="lets others in"):
        check_private(path, 0o600, CONTENT)
