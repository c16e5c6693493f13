"""From another hub of ours: sealed sectors come with their proof, as in a restore.

The other hub may go on meanwhile. A run takes what is new, as a set difference, so that nothing
which came late is passed over; then both sides are compared, by what each can read back.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

from vitalkeep.archive.bucket import Bucket
from vitalkeep.archive.findings import Scope
from vitalkeep.archive.keys import ArchiveKeys
from vitalkeep.archive.others import SITES
from vitalkeep.archive.restore import Restore, Restored
from vitalkeep.archive.shelf import Shelf
from vitalkeep.archive.sources import make_other, make_source
from vitalkeep.archive.verify import Verification
from vitalkeep.errors import ToolError
from vitalkeep.hub.config.load import Config
from vitalkeep.hub.store import Store, utc_now_ms
from vitalkeep.keys.vault import Vault
from vitalkeep.migrate.verdict import Condition
from vitalkeep.sampling import sample_size

_HUBS = ("sqlite:", "postgresql", "https://")


class Plan(NamedTuple):
    """What is asked for: seed chooses a sample of sectors, None for each of them."""

    source: str
    error_rate: float
    confidence: float
    seed: int | None


def migrate_hub(
    vault: Vault,
    store: Store,
    bucket: Bucket | None,
    config: Config,
    plan: Plan,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Condition], dict[str, Any]]:
    """Take what is new, and compare; returns what has to hold for the switch, and all numbers.

    tell    is called with how many sectors were dealt with since the last call, and of how many
    Raises  ToolError, StoreError: what came is kept, and the next run goes on
    """
    if not plan.source.startswith(_HUBS):
        raise ToolError(
            f"{plan.source}: that is no hub",
            "Name its database or its exchange; archives are for vitalkeep restore.",
        )
    with closing(make_source(plan.source, vault, config)) as source:
        restore = Restore(store, vault.gateways(), utc_now_ms())
        restored = restore.run(source, lambda count: tell(count, 2 * source.total))
        name = source.name
    keys = ArchiveKeys(vault.gateways())
    with closing(make_other(plan.source, config)) as other:
        size = sample_size(plan.error_rate, plan.confidence)
        total = max(1, store.count("sectors"))
        sampled = plan.seed is not None and size < total
        percent = min(100.0, 100 * size / total) if sampled else 100.0
        scope = Scope(percent=percent, seed=plan.seed or 0)
        check = Verification(store, keys, Shelf(store, keys, bucket), scope, other)
        proof = check.run(lambda count: tell(count, 2 * max(source.total, check.total())))
    rate = proof.at_most(plan.confidence) if sampled else proof.error_rate
    content = {
        "source": name,
        "sample": sampled,
        "seed": plan.seed or 0,
        "confidence": plan.confidence,
        "error_rate_at_most": rate,
        "restored": restored.as_dict(),
        "proof": proof.as_dict(),
        "findings": [finding._asdict() for finding in proof.findings],
    }
    looked = f"{proof.checked} sectors"
    if sampled:
        looked += f", a sample of {proof.sectors}, with {plan.confidence:.0%} confidence"
    allowed = plan.error_rate if sampled else 0.0
    return [
        Condition("something was compared", proof.compared > 0, f"{proof.compared} sectors"),
        Condition("all that the other hub gives is here", restored.complete, _taken(restored)),
        Condition(
            "the other hub has nothing else",
            not proof.wrong[SITES],
            f"{proof.wrong[SITES]} sectors are missing here, or have other bytes",
        ),
        Condition(
            "what is here is what was sealed",
            rate <= allowed,
            f"at most {rate:.4%} is not, by {looked}; allowed {allowed:.4%}",
        ),
    ], content


def _taken(restored: Restored) -> str:
    """Say what was not taken and why, or how much was."""
    troubles = [f"{count} {name}" for name, count in restored.refused.items()]
    troubles += [problem.text for problem in restored.problems[:10]] + restored.missing[:10]
    came = f"{sum(restored.taken.values())} sectors came, {restored.skipped} were here"
    return "; ".join(troubles) or came
