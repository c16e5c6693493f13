"""The third, remote site: sectors in object storage, sealed as they are, and what is made of them.

pack.py      the format of a pack, pure (docs/formats/pack.md)
rows.py      decoded values beside a pack, encrypted
manifest.py  what a backup says it has, pure
bucket.py    object storage by any fsspec address; written whole or not at all
settings.py  the section [archive] of hub.toml
backup.py    backups by class, each one tested by restoring it
tiers.py     hot, warm, cold: moved by class and age
shelf.py     reads a sector or observations, wherever they are
sources.py   what a hub can be restored from
restore.py   a hub from nothing but the vault and one source
verify.py    is all here, and is it what was sealed
"""
