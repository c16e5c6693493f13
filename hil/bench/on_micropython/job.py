"""What every job shares: its order as a JSON file, its answer as one line of JSON."""

import json
import os
import sys

from hil.bench.on_micropython.chip import MeteredChip, MeteredPartition
from hil.bench.on_micropython.gateway import KEY_BLOCKS, Gateway, Source
from hil.virtual_board.nor import ERASE_SIZE, FileStore


class Job:
    """One order.

    parameters, decimals, extras, labels, rows  the recording
    folder, and what else the job needs         in `order`
    """

    def __init__(self):
        with open(sys.argv[1]) as file:
            self.order = order = json.load(file)
        self.rows = order["rows"]
        extras = {int(id): tuple(extra) for id, extra in order["extras"].items()}
        self.extras = extras
        self.source = Source(order["parameters"], order["decimals"])

    def chip(self, name, sectors):
        """Return a fresh chip of `sectors` in a file, as large as a real one without its RAM."""
        size = sectors * ERASE_SIZE
        return MeteredChip(FileStore(self.order["folder"] + "/" + name, size), size)

    def gateway(self, name, sectors):
        """Return (chip, Gateway) with a log of `sectors`, provisioned."""
        chip = self.chip(name, KEY_BLOCKS + sectors)
        gateway = Gateway(chip, os.urandom, self.extras, MeteredPartition)
        gateway.provision()
        return chip, gateway

    def observation(self, number):
        """Return the observation of row `number`; the rows are repeated."""
        return self.source.observe(self.rows[number % len(self.rows)])


def answer(facts):
    print(json.dumps(facts))
