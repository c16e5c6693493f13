"""The database of one site, SQLite or PostgreSQL: the only place with SQL, but for the migrations.

A file is one concern: its tables' columns stand in `tables`, its statements in a class on top of
`Database`. What is here is all that the rest of the hub may use.
"""

from vitalkeep.hub.store.alone import Alone
from vitalkeep.hub.store.archive import Archive
from vitalkeep.hub.store.checkup import Checkup
from vitalkeep.hub.store.commits import Commits
from vitalkeep.hub.store.database import StaleError, StoreError, utc_now_ms
from vitalkeep.hub.store.duties import Duties
from vitalkeep.hub.store.exchange import Exchanges
from vitalkeep.hub.store.exports import Exports
from vitalkeep.hub.store.foreign import Foreign
from vitalkeep.hub.store.history import History
from vitalkeep.hub.store.leases import FencedError, Leases, SupersededError
from vitalkeep.hub.store.partitions import Partitions
from vitalkeep.hub.store.prefixes import Prefixes
from vitalkeep.hub.store.proofs import Proofs
from vitalkeep.hub.store.pulse import Pulse
from vitalkeep.hub.store.turns import Turns
from vitalkeep.hub.store.usage import Usage
from vitalkeep.hub.store.views import Views

__all__ = [
    "FencedError",
    "StaleError",
    "Store",
    "StoreError",
    "SupersededError",
    "utc_now_ms",
]


class Store(
    Checkup,
    Commits,
    History,
    Prefixes,
    Proofs,
    Pulse,
    Usage,
    Views,
    Partitions,
    Exchanges,
    Leases,
    Duties,
    Exports,
    Alone,
    Archive,
    Foreign,
    Turns,
):
    """Everything that is asked of the database: see `Database` for how it is opened.

    Checkup   what a doctor asks
    Commits   the write path
    History   what was attained
    Prefixes  what ingest and receipts must know of what is stored
    Proofs    what a verification asks of rows
    Pulse     whether it takes writes
    Usage     how much it takes
    Views     what people and the page ask
    Partitions  of days, made ahead
    Exchanges what goes to other sites, and what they proved
    Leases    which worker serves which gateway
    Duties    which hub does what is done once for all of them
    Exports   what others were given, as files
    Alone     that a file has one hub
    Archive   what is in object storage, and how the backups went
    Foreign   what other systems recorded
    Turns     who changes that, one run at a time
    """
