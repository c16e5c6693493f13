"""Workers that only look at the same roll share the gateways, and none is left or had twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vitalkeep.hub.shares import owner, plan

GATEWAYS = [number.to_bytes(8, "big") for number in range(1000)]
NAMES = st.sets(st.sampled_from("abcdefgh"), min_size=1)
SETTLED = 3  # rounds: one to release, one to claim


class Roll:
    """The leases of a database, as workers see and change them."""

    def __init__(self, gateways: list[bytes]) -> None:
        self.gateways = gateways
        self.holders: dict[bytes, str | None] = {}

    def round(self, able: set[str], alive: set[str], order: list[str]) -> int:
        """Let each worker act once; returns how many leases changed hands."""
        moved = 0
        for me in order:
            found = plan(me, able, alive, self.gateways, self.holders)
            for gateway in found.release:
                assert self.holders[gateway] == me
                self.holders[gateway] = None
            for gateway in found.claim:
                assert self.holders.get(gateway) not in alive, "taken from one who lives"
                self.holders[gateway] = me
                moved += 1
        return moved


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=6), st.randoms())
def test_whoever_comes_and_goes_every_gateway_has_one_able_worker_in_the_end(history, chance):
    roll = Roll(GATEWAYS[:40])
    for alive, deaf in history:
        able = alive - deaf
        order = sorted(alive)
        for _ in range(SETTLED):
            chance.shuffle(order)
            roll.round(able, alive, order)
        if able:
            assert {roll.holders[gateway] for gateway in roll.gateways} <= able
            for gateway in roll.gateways:
                assert roll.holders[gateway] == owner(gateway, able)
        assert roll.round(able, alive, order) == 0, "it never comes to rest"


@given(NAMES, st.sampled_from("ijkl"))
def test_a_worker_that_comes_takes_only_what_becomes_its_own(names, newcomer):
    before = {gateway: owner(gateway, names) for gateway in GATEWAYS}
    after = {gateway: owner(gateway, names | {newcomer}) for gateway in GATEWAYS}
    moved = [gateway for gateway in GATEWAYS if before[gateway] != after[gateway]]
    assert {after[gateway] for gateway in moved} <= {newcomer}
    fair = len(GATEWAYS) / (len(names) + 1)
    assert 0.7 * fair < len(moved) < 1.3 * fair


def test_while_nobody_hears_the_broker_everybody_keeps_what_he_has() -> None:
    holders: dict[bytes, str | None] = {GATEWAYS[0]: "a", GATEWAYS[1]: "b", GATEWAYS[2]: None}
    for me in "ab":
        found = plan(me, set(), {"a", "b"}, GATEWAYS[:3], holders)
        assert not found.claim
        assert not found.release


def test_a_gateway_that_left_the_vault_is_let_go() -> None:
    assert plan("a", {"a"}, {"a"}, [], {GATEWAYS[0]: "a"}).release == {GATEWAYS[0]}
