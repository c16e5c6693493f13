"""Of several clocks, some of which may lie: what a majority of them allows. Pure.

Each answer is an interval that holds the true time if its clock is right. Where more than half of
all intervals meet, at least one of them is of an honest clock, and every point that the honest
majority shares is among those places: so the span of all such places holds the true time whenever
more than half of the clocks are right, and never reaches beyond what an honest clock allows.
(K. Marzullo's intersection, with a fixed majority in the place of the best count: the best count
may well be one that liars have chosen.)
"""


def agree(answers, at_least=1):
    """Return (offset_ms, error_ms, refused), None when no majority agrees.

    answers   list of (offset_ms, error_ms)
    at_least  how many must agree, be they a majority or not
    refused   indices of the answers that lie outside what the majority allows
    """
    needed = max(len(answers) // 2 + 1, at_least)
    edges = []
    for offset_ms, error_ms in answers:
        # At the same place an interval begins before another ends: they touch.
        edges.append((offset_ms - error_ms, 0))
        edges.append((offset_ms + error_ms, 1))
    edges.sort()
    low = high = None
    depth = 0
    for place, ends in edges:
        if ends:
            if depth >= needed:
                high = place
            depth -= 1
        else:
            depth += 1
            if depth >= needed and low is None:
                low = place
    if low is None:
        return None
    refused = []
    for index in range(len(answers)):
        offset_ms, error_ms = answers[index]
        if offset_ms + error_ms < low or offset_ms - error_ms > high:
            refused.append(index)
    return (low + high) // 2, (high - low + 1) // 2, refused
