"""How large a sample has to be, and what one says of the whole. Pure.

Each thing of a sample is right or wrong, and each thing of the whole had the same chance to be in
it. The bounds are exact for the binomial distribution (Clopper and Pearson, 1934), and on the safe
side where the sample is a good part of the whole.
"""

from __future__ import annotations

import math

_STEPS = 60  # of halving: far finer than what anyone asks


def sample_size(error_rate: float, confidence: float) -> int:
    """Return how many have to be looked at, so that if all are right, the whole has a smaller
    error rate than this with this confidence; both between 0 and 1.
    """
    return math.ceil(math.log1p(-confidence) / math.log1p(-error_rate))


def at_most(wrong: int, checked: int, confidence: float) -> float:
    """Return the error rate that the whole has at most, with this confidence; 1 for no sample."""
    if not checked or wrong >= checked:
        return 1.0
    if not wrong:
        return -math.expm1(math.log1p(-confidence) / checked)
    low, high = wrong / checked, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _at_most(wrong, checked, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(wrong: int, checked: int, rate: float) -> float:
    """Return the chance of no more than `wrong` among `checked` at an error rate."""
    total = 0.0
    for count in range(wrong + 1):
        ways = math.lgamma(checked + 1) - math.lgamma(count + 1) - math.lgamma(checked - count + 1)
        total += math.exp(
            ways + count * math.log(rate) + (checked - count) * math.log1p(-rate)
            if rate < 1
            else -math.inf
        )
    return min(1.0, total)
