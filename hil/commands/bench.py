"""`vitalkeep bench`: numbers, each beside a peer's that does the same work."""

import click

from hil.bench.bundle import bundle
from hil.bench.decode import decode
from hil.bench.doctor import doctor
from hil.bench.hub.command import hub
from hil.bench.journal import journal
from hil.bench.uplink.command import uplink

SUBJECTS = (bundle, decode, doctor, hub, journal, uplink)


@click.group()
def bench() -> None:
    """Measure a part of Vitalkeep beside what else would do its work."""


for _subject in SUBJECTS:
    bench.add_command(_subject)
