"""Which cases are tried of those that there are."""

import hashlib
import re
from collections import Counter

from tests.faults.bench import Case


def sample(cases: "list[Case]", size: int, seed: str) -> "list[Case]":
    """So many of them, by lot. A case draws the same lot as long as its call is made, whatever calls come before it:
    who changes one place meets the faults that were tried before everywhere else. A larger sample has all of a smaller.
    """
    met: Counter[tuple[str, ...]] = Counter()
    lots = []
    for case in cases:
        path = re.sub(r"faults-\w+|[0-9a-f]{16}|[0-9]+", "", case.call.path)
        what = case.command, str(case.call.process), case.call.name, path, case.what
        met[what] += 1
        lots.append((lot(seed, *what, met[what]), case))
    return [case for _, case in sorted(lots, key=lambda lot: lot[0])[:size]]


def lot(*words: object) -> str:
    """What decides: alike for all who ask with the same words."""
    return hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()
