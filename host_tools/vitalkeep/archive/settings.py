"""The section [archive] of hub.toml: where the third site is, and what goes there when."""

from __future__ import annotations

from dataclasses import dataclass

from vitalkeep.hub.sectors import DAY_MS
from vitalkeep.settings.fields import Secret, setting

_MINUTE_MS = 60_000


@dataclass(frozen=True)
class ClassSchedule:
    """When one class is backed up, and how long its data stay where."""

    incremental_min: int = setting(15, "Between two backups of what is new.", low=1, unit="min")
    full_h: int = setting(24, "Between two full backups.", low=1, unit="h")
    hot_days: int = setting(
        7, "Decoded rows are compressed when they are older.", low=1, unit="days"
    )
    warm_days: int = setting(
        90, "Sealed bytes leave the database for the archive when they are older; 0 for never.",
        low=0, unit="days",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.warm_days and self.warm_days < self.hot_days:
            raise ValueError("warm_days: want no less than hot_days, or 0")

    @property
    def incremental_ms(self) -> int:
        return self.incremental_min * _MINUTE_MS

    @property
    def full_ms(self) -> int:
        return self.full_h * 3600 * 1000

    @property
    def hot_ms(self) -> int:
        return self.hot_days * DAY_MS

    @property
    def warm_ms(self) -> int:
        return self.warm_days * DAY_MS


@dataclass(frozen=True)
class ScheduleB(ClassSchedule):
    """As for class A, with other defaults."""

    incremental_min: int = setting(60, "Between two backups of what is new.", low=1, unit="min")


@dataclass(frozen=True)
class ScheduleC(ClassSchedule):
    """As for class A, with other defaults."""

    incremental_min: int = setting(240, "Between two backups of what is new.", low=1, unit="min")
    hot_days: int = setting(
        3, "Decoded rows are compressed when they are older.", low=1, unit="days"
    )


@dataclass(frozen=True)
class StorageSettings:
    """Where objects are put, and as whom."""

    address: str | None = setting(
        None, "s3://bucket/prefix, file:///folder, or any other fsspec address.",
        example="s3://ward-archive/vitalkeep",
    )  # fmt: skip
    endpoint: str | None = setting(
        None, "Of an S3 service that is not Amazon's.", example="https://s3.example:9000"
    )
    key: Secret | None = setting(
        None, "Access key id; without it the S3 library looks where it always does.",
        example="env:ARCHIVE_KEY",
    )  # fmt: skip
    secret: Secret | None = setting(
        None, "Secret access key.", example="file:/etc/vitalkeep/archive.secret"
    )

    def __post_init__(self) -> None:
        if (self.key is None) != (self.secret is None):
            raise ValueError("key and secret belong together: want both or none")

    def options(self) -> dict[str, object]:
        """Return what fsspec needs beside the address; reads the secrets."""
        found: dict[str, object] = {}
        if self.endpoint is not None:
            found["endpoint_url"] = self.endpoint
        if self.key is not None and self.secret is not None:
            found |= {"key": self.key.read(), "secret": self.secret.read()}
        return found


@dataclass(frozen=True)
class ArchiveSettings(StorageSettings):
    """The archive: a third site in object storage, and how data move there. Without an address
    decoded rows are compressed with age and nothing leaves the database.
    """

    lock_days: int = setting(
        35, "Objects are locked for so long where the bucket has S3 Object Lock; 0 for never.",
        low=0, unit="days",
    )  # fmt: skip
    parquet: bool = setting(
        True, "Write the values of cold sectors beside them, as encrypted Parquet."
    )
    a: ClassSchedule = setting(ClassSchedule(), "Class A.")
    b: ScheduleB = setting(ScheduleB(), "Class B.")
    c: ScheduleC = setting(ScheduleC(), "Class C.")

    def schedule(self, cls: int) -> ClassSchedule:
        """Return the schedule of a class, 0 to 2."""
        return (self.a, self.b, self.c)[cls]
