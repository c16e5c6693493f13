"""The section [exports] of hub.toml."""

from __future__ import annotations

from dataclasses import dataclass

from vitalkeep.archive.settings import StorageSettings
from vitalkeep.settings.fields import Secret, setting

FHIR = "fhir"
CSV = "csv"


@dataclass(frozen=True)
class ExportSettings(StorageSettings):
    """Observations as files for others, each exactly once, by one hub for all. They are in clear:
    who may read there reads values of patients.
    """

    address: str | None = setting(
        None, "s3://bucket/prefix, file:///folder, or any other fsspec address. Default: nowhere.",
        example="file:///srv/vitalkeep/exports",
    )  # fmt: skip
    key: Secret | None = setting(
        None, "Access key id; without it the S3 library looks where it always does.",
        example="env:EXPORT_KEY",
    )  # fmt: skip
    secret: Secret | None = setting(
        None, "Secret access key.", example="file:/etc/vitalkeep/export.secret"
    )
    form: str = setting(
        FHIR, "fhir: a FHIR R4 Observation a line; csv: a value a line, as journal export has it.",
        choices=(FHIR, CSV),
    )  # fmt: skip
    every_min: float = setting(15.0, "Between two looks for what is new.", low=0.01, unit="min")
