"""Objects are whole or not there, never written over, and each failure has its name."""

import errno
import os

import pytest

from tests.support.archive import guarded
from vitalkeep.archive import bucket as module
from vitalkeep.archive.bucket import Bucket, BucketError
from vitalkeep.errors import ToolError

S3_OPTIONS = {"key": "access", "secret": "secret"}


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.s3)])
def bucket(request, tmp_path):
    if request.param == "file":
        (tmp_path / "archive").mkdir()
        return Bucket(f"file://{tmp_path}/archive")
    if request.param == "memory":
        return Bucket(f"memory://{tmp_path.name}")
    return s3_bucket(request.getfixturevalue("s3_server"), tmp_path.name)


def s3_bucket(address, name, lock=False, **options):
    import boto3

    name = name.replace("_", "-")[:60].strip("-")
    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1",
        aws_access_key_id="access", aws_secret_access_key="secret",
    )  # fmt: skip
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
    return Bucket(f"s3://{name}/ward", {"endpoint_url": address, **S3_OPTIONS}, **options)


def test_objects_come_back_whole_and_in_parts(bucket):
    assert list(bucket.names()) == []
    assert bucket.look() == module.NO_LOCK
    assert bucket.put("a/b/one.pack", b"0123456789")
    assert bucket.put("a/two.pack", b"x")
    assert bucket.get("a/b/one.pack") == b"0123456789"
    assert bucket.get("a/b/one.pack", 2, 5) == b"234"
    assert bucket.get("a/b/one.pack", 8, 500) == b"89"
    assert list(bucket.names()) == ["a/b/one.pack", "a/two.pack"]
    assert list(bucket.names("a/b")) == ["a/b/one.pack"]
    assert list(bucket.names("nothing")) == []


def test_nothing_is_written_over(bucket):
    assert bucket.put("one", b"first")
    assert not bucket.put("one", b"first")
    with pytest.raises(BucketError) as raised:
        bucket.put("one", b"second")
    assert raised.value.code == module.DIFFERS
    assert bucket.get("one") == b"first"


def test_object_that_is_not_there_is_missing(bucket):
    with pytest.raises(BucketError) as raised:
        bucket.get("nowhere")
    assert raised.value.code == module.MISSING


def test_full_disk_is_full_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "archive").mkdir()
    bucket = Bucket(f"file://{tmp_path}/archive")
    real = os.fsync

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BucketError) as raised:
        bucket.put("one", b"data")
    assert raised.value.code == module.FULL
    monkeypatch.setattr(os, "fsync", real)
    assert [path for path in (tmp_path / "archive").rglob("*") if path.is_file()] == []
    assert bucket.put("one", b"data")


def test_new_folders_outlast_a_power_cut_as_their_files_do(tmp_path, monkeypatch):
    """A file whose folder's own name is not on the disk is not there after it."""
    synced, really = set(), os.fsync

    def fsync(handle):
        synced.add(os.readlink(f"/proc/self/fd/{handle}"))
        really(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    Bucket(f"file://{tmp_path}").put("cold/site/A/1.pack", b"data")
    assert {str(tmp_path / part) for part in ("", "cold", "cold/site", "cold/site/A")} <= synced


def test_what_writers_left_that_a_power_cut_ended_goes_when_it_is_old_and_nothing_else(
    tmp_path, monkeypatch, caplog
):
    folder, outside = tmp_path / "archive", tmp_path / "outside"
    for made in (folder / "cold" / "A", outside):
        made.mkdir(parents=True)
    dead = [f"archive/{name}.part-{n:016x}" for n, name in enumerate(("", "cold/", "cold/A/"))]
    live = "archive/cold/.part-00000000000000aa"
    others = [
        "archive/one.part-0000000000000001", "archive/.part-1", "archive/.part-00000000000000zz",
        "archive/.part-00000000000000012", "archive/cold/whole.pack",
        "outside/.part-0000000000000001",
    ]  # fmt: skip
    for name in (*dead, live, *others):
        (tmp_path / name).write_bytes(b"torn")
    now = os.stat(tmp_path / live).st_mtime
    for name in (*dead, *others):
        os.utime(tmp_path / name, (now - 25 * 3600,) * 2)
    os.utime(tmp_path / live, (now - 23 * 3600,) * 2)
    (folder / "elsewhere").symlink_to(outside)
    (folder / ".part-00000000000000bb").symlink_to(outside / ".part-0000000000000001")
    bucket = Bucket(f"file://{folder}")
    assert bucket.put("new", b"data")
    assert [name for name in dead if (tmp_path / name).exists()] == []
    assert [name for name in (live, *others) if not (tmp_path / name).exists()] == []
    assert (folder / ".part-00000000000000bb").is_symlink()
    assert "3 unfinished files are removed" in caplog.text
    # Once a day is enough; and it is no reason to fail when it cannot be done.
    os.utime(tmp_path / live, (now - 25 * 3600,) * 2)
    assert bucket.put("newer", b"data")
    assert (tmp_path / live).exists()
    monkeypatch.setattr(module, "monotonic", lambda: float("inf"))
    with monkeypatch.context() as patched:
        patched.setattr(module.Path, "unlink", refuse_old(module.Path.unlink))
        assert bucket.put("newest", b"data")
    assert "00aa stays: Read-only file system" in caplog.text


def refuse_old(unlink):
    """Return an unlink() of a file system that lets nobody remove what was there before."""

    def refuse(path, missing_ok=False):
        if path.name.endswith("aa"):
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(path, missing_ok)

    return refuse


def test_writer_whose_file_was_swept_writes_it_anew(tmp_path, monkeypatch):
    """It slept for a day in the midst of it."""
    bucket, really = Bucket(f"file://{tmp_path}"), os.fsync

    def sleep(handle):
        monkeypatch.setattr(os, "fsync", really)
        os.utime(handle, (0, 0))
        Bucket(f"file://{tmp_path}").put("other", b"data")

    monkeypatch.setattr(os, "fsync", sleep)
    with pytest.raises(BucketError) as raised:
        bucket.put("one", b"data")
    assert raised.value.code == module.MISSING
    assert bucket.put("one", b"data")
    assert bucket.get("one") == b"data"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_rights_is_denied(tmp_path):
    (tmp_path / "archive").mkdir(0o500)
    with pytest.raises(BucketError) as raised:
        Bucket(f"file://{tmp_path}/archive").put("one", b"data")
    assert raised.value.code == module.DENIED


def test_other_failures_of_a_storage_have_their_names(tmp_path, monkeypatch):
    bucket = Bucket(f"memory://{tmp_path.name}")
    for error, code in (
        (PermissionError("Access Denied"), module.DENIED),
        (OSError(errno.EROFS, "Read-only file system"), module.DENIED),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), module.FULL),
        (OSError(errno.EIO, "QuotaExceeded: bucket quota"), module.FULL),
        (ConnectionRefusedError("refused"), module.UNREACHABLE),
        (TimeoutError("timed out"), module.UNREACHABLE),
        (RuntimeError("what"), module.FAILED),
    ):

        def fail(*_, error=error, **__):
            raise error

        monkeypatch.setattr(bucket._fs, "pipe_file", fail, raising=False)
        with pytest.raises(BucketError) as raised:
            bucket.put("one", b"data")
        assert raised.value.code == code
        assert raised.value.hint


def test_storage_that_changes_what_it_is_given_is_caught(tmp_path, monkeypatch):
    bucket = Bucket(f"memory://{tmp_path.name}")
    monkeypatch.setattr(bucket._fs, "cat_file", lambda *_, **__: b"dat4", raising=False)
    with pytest.raises(BucketError) as raised:
        bucket.put("one", b"data")
    assert raised.value.code == module.DIFFERS


@pytest.mark.s3
def test_s3_that_does_not_answer_is_unreachable():
    options = {"endpoint_url": "http://127.0.0.1:9", **S3_OPTIONS}
    options["config_kwargs"] = {"connect_timeout": 1, "retries": {"max_attempts": 0}}
    with pytest.raises(BucketError) as raised:
        Bucket("s3://nowhere/at/all", options).get("one")
    assert raised.value.code == module.UNREACHABLE


@pytest.mark.s3
def test_s3_bucket_that_is_not_there_is_missing(s3_server):
    with pytest.raises(BucketError) as raised:
        Bucket("s3://no-such-bucket", {"endpoint_url": s3_server, **S3_OPTIONS}).put("one", b"x")
    assert raised.value.code == module.MISSING
    nowhere = Bucket("s3://no-such-bucket/ward", {"endpoint_url": s3_server, **S3_OPTIONS})
    for ask in (nowhere.look, lambda: list(nowhere.names())):
        with pytest.raises(BucketError) as raised:
            ask()
        assert raised.value.code == module.MISSING


@pytest.mark.s3
def test_lock_that_cannot_be_asked_for_is_not_taken_for_none():
    options = {"endpoint_url": "http://127.0.0.1:9", **S3_OPTIONS}
    options["config_kwargs"] = {"connect_timeout": 1, "retries": {"max_attempts": 0}}
    bucket = Bucket("s3://nowhere/at/all", options, lock_days=3)
    with pytest.raises(BucketError) as raised:
        bucket.put("one", b"data")
    assert raised.value.code == module.UNREACHABLE


def mode_of(bucket, name):
    """Return in which mode an object is locked, None for not at all."""
    where, key = bucket._fs.split_path(bucket._path(name))[:2]
    return bucket._fs.call_s3("head_object", Bucket=where, Key=key).get("ObjectLockMode")


@pytest.mark.s3
def test_objects_are_locked_where_that_is_offered(s3_server):
    bucket = s3_bucket(s3_server, "locked-bucket", lock=True, lock_days=10)
    assert (bucket.look(), bucket.lock) == (module.LOCKED, module.UNKNOWN)
    bucket.put("one", b"data")
    assert (mode_of(bucket, "one"), bucket.lock) == ("GOVERNANCE", module.LOCKED)
    plain = s3_bucket(s3_server, "plain-bucket", lock_days=10)
    assert plain.look() == module.NO_LOCK
    assert plain.put("one", b"data")
    assert (plain.lock, plain.unlocked) == (module.NO_LOCK, 0)


@pytest.mark.s3
def test_object_is_locked_though_nobody_may_ask_whether_it_can_be(s3_server):
    with guarded(s3_server) as guard:
        guard.rights = {"lock"}
        bucket = s3_bucket(guard.address, "may-not-ask", lock=True, lock_days=10)
        assert bucket.look() == module.UNKNOWN
        assert bucket.put("one", b"data")
        assert not bucket.put("one", b"data")
        assert (mode_of(bucket, "one"), bucket.lock) == ("GOVERNANCE", module.LOCKED)
        assert bucket.unlocked == 0


@pytest.mark.s3
@pytest.mark.parametrize("rights", [set(), {"ask"}])
def test_object_whose_lock_is_refused_is_there_and_counted_until_the_right_is_given(
    s3_server, rights, caplog
):
    with guarded(s3_server) as guard:
        guard.rights = set(rights)
        name = f"may-not-lock-{len(rights)}"
        bucket = s3_bucket(guard.address, name, lock=True, lock_days=10)
        assert bucket.put("one", b"data")
        assert bucket.get("one") == b"data"
        assert (mode_of(bucket, "one"), bucket.lock) == (None, module.UNLOCKED)
        assert (bucket.unlocked, bucket.lock_refusal) == (1, "No.")
        assert "ward/one is written without its retention lock: No." in caplog.text
        guard.rights = {"ask", "lock"}
        bucket.put("two", b"data")
        assert (mode_of(bucket, "two"), bucket.lock) == ("GOVERNANCE", module.LOCKED)
        assert (bucket.unlocked, bucket.lock_refusal) == (1, "")


@pytest.mark.s3
def test_bucket_without_a_lock_that_nobody_may_ask_is_said_to_have_refused_it(s3_server):
    with guarded(s3_server) as guard:
        guard.rights = {"lock"}
        bucket = s3_bucket(guard.address, "no-lock-no-ask", lock_days=10)
        assert bucket.put("one", b"data")
        assert (bucket.lock, bucket.unlocked) == (module.UNLOCKED, 1)
        guard.rights = {"ask", "lock"}
        bucket.put("two", b"data")
        assert (bucket.lock, bucket.unlocked) == (module.NO_LOCK, 1)


def test_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(BucketError) as raised:
        Bucket(f"file://{tmp_path}/mount").put("one", b"data")
    assert raised.value.code == module.MISSING
    assert not (tmp_path / "mount").exists()
    with pytest.raises(BucketError) as raised:
        list(Bucket(f"file://{tmp_path}/mount").names("backup"))
    assert raised.value.code == module.MISSING


def test_storage_that_nobody_knows_is_a_tool_error():
    with pytest.raises(ToolError):
        Bucket("nosuch://bucket")
