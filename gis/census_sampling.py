"""Field acceptance of a survey by sampling: how many, which, and what the findings come to. Pure.

A plan is a table of lot sizes with sample size and acceptance number (data/sampling_plans names where it is from). The
sample is drawn by a seed anybody can check: items are ordered by the SHA-256 of ``seed:row``, the first are taken.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from gis.errors import DefinitionBad

KIND: Final = "sampling_plan"
FAULTS: Final = ("absent", "position", "category", "attribute")
Verdict = Literal["open", "accepted", "rejected"]


@dataclass(frozen=True)
class Step:
    """A row of the table: lots of up to ``lot`` items (None: any size)."""

    lot: int | None
    size: int
    accept: int


@dataclass(frozen=True)
class SamplingPlan:
    """A checked plan."""

    code: str
    name: Mapping[str, str]
    source: str
    steps: tuple[Step, ...]

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "SamplingPlan":
        """The plan of a definition body. Raises ``DefinitionBad`` naming the row."""
        steps, before = [], 0
        rows = body["table"]
        for index, row in enumerate(rows):
            where = f"table[{index}]"
            lot, size, accept = row
            last = index == len(rows) - 1
            if (lot is None) != last or (lot is not None and not (isinstance(lot, int) and lot > before)):
                raise DefinitionBad(where=where, why="lot sizes rise, and only the last is open (null)")
            if not (isinstance(size, int) and isinstance(accept, int) and 0 <= accept < size):
                raise DefinitionBad(where=where, why="needs 0 <= acceptance number < sample size")
            steps.append(Step(lot, size, accept))
            before = lot or before
        if not steps:
            raise DefinitionBad(where="table", why="the plan has no rows")
        if not str(body["source"]).strip():
            raise DefinitionBad(where="source", why="say where the table is from")
        return cls(body["code"], body["name"], str(body["source"]), tuple(steps))

    def of_lot(self, lot: int) -> tuple[int, int]:
        """(sample size, acceptance number) for a lot of so many items, ``lot`` > 0; small lots are checked whole."""
        step = next(one for one in self.steps if one.lot is None or lot <= one.lot)
        return min(step.size, lot), step.accept


def draw(rows: Iterable[int], size: int, seed: str) -> list[int]:
    """``size`` of the rows in the order they were drawn; the same for the same rows, size and seed."""
    return sorted(set(rows), key=lambda row: (hashlib.sha256(f"{seed}:{row}".encode()).digest(), row))[:size]


def verdict(size: int, accept: int, results: Collection[str | None]) -> Verdict:
    """What the results ("good", "bad", None) so far come to.

    Rejected as soon as more than ``accept`` are bad; accepted when all are checked, so that no result is left out.
    """
    bad = sum(one == "bad" for one in results)
    if bad > accept:
        return "rejected"
    unchecked = size - sum(one is not None for one in results)
    return "open" if unchecked else "accepted"
