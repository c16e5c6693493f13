"""Objects are whole or not there, never written over, and each failure has its name."""

import errno
import os

import pytest

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
    with pytest.raises(BucketError) as raised:
        list(Bucket("s3://no-such-bucket/ward", {"endpoint_url": s3_server, **S3_OPTIONS}).names())
    assert raised.value.code == module.MISSING


@pytest.mark.s3
def test_lock_that_cannot_be_asked_for_is_not_taken_for_none():
    options = {"endpoint_url": "http://127.0.0.1:9", **S3_OPTIONS}
    options["config_kwargs"] = {"connect_timeout": 1, "retries": {"max_attempts": 0}}
    bucket = Bucket("s3://nowhere/at/all", options, lock_days=3)
    with pytest.raises(BucketError) as raised:
        bucket.put("one", b"data")
    assert raised.value.code == module.UNREACHABLE


@pytest.mark.s3
def test_objects_are_locked_where_that_is_offered(s3_server):
    bucket = s3_bucket(s3_server, "locked-bucket", lock=True, lock_days=10)
    assert bucket.locks
    bucket.put("one", b"data")
    found = bucket._fs.call_s3("head_object", Bucket="locked-bucket", Key="ward/one")
    assert found["ObjectLockMode"] == "GOVERNANCE"
    plain = s3_bucket(s3_server, "plain-bucket", lock_days=10)
    assert not plain.locks
    assert plain.put("one", b"data")


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
