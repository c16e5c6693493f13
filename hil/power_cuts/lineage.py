"""One gateway through its power cuts. Runs on both interpreters."""

from bridge.core.journal import layout
from hil.power_cuts.gateway import Gateway
from hil.power_cuts.judge import APPENDS, RECOVERY, Judge
from hil.power_cuts.workload import Plan, Workload
from hil.virtual_board.nor import NorChip, PowerCut, Random

_STEPS = 120
_STEPS_AFTER = 10
_CUTS_AFTER = 3  # at most, in recoveries and in what is appended behind them


class _Bytes:
    """random(n) for headers and resumes, from a seed, never the same twice."""

    def __init__(self, random):
        self._random = random

    def __call__(self, size):
        return bytes([self._random.below(256) for _ in range(size)])


class Lineage:
    """A gateway that works, loses power at one operation, and comes back.

    seed       decides the plan and the work
    make_chip  makes the chip from (store, size)
    """

    def __init__(self, seed, make_chip=NorChip):
        random = Random(seed)
        self.plan = plan = Plan(random)
        self._seed = seed
        self._random = random
        self.gateway = Gateway(
            _Bytes(random), plan.sectors, plan.key_blocks, plan.spent, make_chip
        )
        self.chip = self.gateway.chip
        self.judge = Judge(self.gateway)
        self._before = self.chip.programs + self.chip.erases

    @property
    def operations(self):
        """Flash operations done since the first boot began."""
        return self.chip.programs + self.chip.erases - self._before

    def work(self, steps=_STEPS):
        """Boot and append; raises PowerCut when the chip loses power."""
        self.judge.booted()
        erases = self.chip.erases
        try:
            journal, clock = self.gateway.boot()
        finally:
            if self.chip.erases != erases:
                self.judge.fail(RECOVERY, "%d erases" % (self.chip.erases - erases))
        if min(journal.newest(cls)[0] for cls in range(len(layout.CLASSES))) < 0:
            # Recovery erases nothing, so a class may have to wait for its first append.
            journal.idle()
        Workload(self.plan, self._random, self.judge, journal, clock).run(steps)
        return journal

    def come_back(self, operation, tear):
        """After a cut: more cuts, then work that is left alone, and the verdict."""
        random = self._random = Random(self._seed * 65537 + tear_seed(operation, tear))
        self.gateway.random = _Bytes(random)
        for _ in range(random.below(_CUTS_AFTER + 1)):
            self.chip.power_on()
            self.chip.cut_after(1 + random.below((4, 40)[random.below(2)]), random.below(65536))
            try:
                self.work(_STEPS_AFTER)
            except PowerCut:
                pass
        self.chip.power_on()
        self.judge.check(self.work(_STEPS_AFTER))
        return self.judge.failures


def tear_seed(operation, tear):
    """Return the seed of how far a torn operation got."""
    return operation * 16 + tear


def cut_at(seed, operation, tear):
    """Run the work of a seed, cut it in the midst of one flash operation, and judge.

    operation  1 up; the first is that of the first boot
    tear       0 up: one of the ways in which the operation may be torn
    Returns    a list of (invariant, what), empty when all holds; None when there is no such
               operation
    """
    lineage = Lineage(seed)
    lineage.chip.cut_after(operation, tear_seed(operation, tear))
    try:
        lineage.work()
        return None
    except PowerCut:
        pass
    except Exception as error:
        lineage.judge.fail(APPENDS, repr(error))
        return lineage.judge.failures
    return end(lineage, operation, tear)


def end(lineage, operation, tear):
    """Have a lineage that has just lost power come back; returns its failures."""
    try:
        return lineage.come_back(operation, tear)
    except Exception as error:  # whatever the firmware raises here is a finding
        lineage.judge.fail(APPENDS, repr(error))
        return lineage.judge.failures
