"""How evenly duty grids share the work, and a regrouping that shares it better. Pure.

The burden of a duty grid is, over what is compared (ground, components, cases, way to walk), the mean of its share over
the fair share, a duty grid of two inspectors being due two shares: 1 is fair. How uneven a grouping is, is the mean
square of the burdens' distance from 1, weighted by inspectors; moving grids between neighbours lowers it step by step.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BORDER_WEIGHT: Final = 0.02
"""How much a border between grids of different duty grids weighs against evenness: keeps the groups compact."""
_GAIN: Final = 1e-9


@dataclass(frozen=True)
class Grouping:
    """Which group each grid is in, how uneven that is, and how many grids moved."""

    groups: Ints
    unevenness: float
    moved: int


def burdens(weights: Floats, groups: Ints, strength: Floats) -> Floats:
    """The burden of every group. ``weights``: n grids × k columns, not negative; ``strength``: inspectors of a group.

    Columns that are zero everywhere compare nothing and are left out; without any every burden is 1.
    """
    columns = weights[:, weights.sum(axis=0) > 0]
    if not columns.shape[1]:
        return np.ones(len(strength))
    fair = strength / strength.sum()
    sums = np.stack([np.bincount(groups, weights=column, minlength=len(strength)) for column in columns.T])
    burden: Floats = (sums / sums.sum(axis=1, keepdims=True) / fair).mean(axis=0)
    return burden


def unevenness(weights: Floats, groups: Ints, strength: Floats) -> float:
    """0 where everybody has their fair share."""
    fair = strength / strength.sum()
    return float((fair * (burdens(weights, groups, strength) - 1.0) ** 2).sum())


def regrouped(
    weights: Floats, near: Sequence[Sequence[int]], groups: Ints, strength: Floats, most_moves: int = 2000
) -> Grouping:
    """Grids moved between neighbouring groups while that lowers the unevenness; the same input gives the same answer.

    ``near`` are the neighbours of each grid that it may share a group with. Every group must hang together and keeps
    doing so; none is emptied. Every move lowers the unevenness, so that the answer is never worse than what was given.
    Of the moves at hand the one that lowers it most is taken, a longer border between groups counting against it.
    """
    columns = weights[:, weights.sum(axis=0) > 0]
    groups = groups.copy()
    given = groups.copy()
    if columns.shape[1]:
        # A grid's part of the whole, averaged over the columns: burdens are then sums of these over fair shares.
        share = (columns / columns.sum(axis=0)).mean(axis=1)
        search = _Search(share, near, groups, strength / strength.sum())
        while search.moves < most_moves and search.step():
            pass
    return Grouping(groups, unevenness(weights, groups, strength), int((groups != given).sum()))


class _Search:
    """Steepest descent over moves of one grid; what a move brings is arithmetic on two sums."""

    def __init__(self, share: Floats, near: Sequence[Sequence[int]], groups: Ints, fair: Floats) -> None:
        self.share, self.near, self.groups, self.fair = share, near, groups, fair
        self.sums = np.bincount(groups, weights=share, minlength=len(fair))
        self.members: list[set[int]] = [set() for _ in fair]
        for i, group in enumerate(groups.tolist()):
            self.members[group].add(i)
        self.scale = (
            BORDER_WEIGHT / max(1, sum(map(len, near)) // 2) * float((fair * (self.sums / fair - 1) ** 2).sum())
        )
        self.moves = 0
        self.at_hand: dict[int, list[tuple[float, int, int]]] = {}
        self._weigh(range(len(groups)))

    def _cost(self, group: int, total: float) -> float:
        return float(self.fair[group] * (total / self.fair[group] - 1.0) ** 2)

    def _weigh(self, grids: Iterable[int]) -> None:
        """Which moves of these grids would help, and how much."""
        for i in grids:
            home = int(self.groups[i])
            around = [int(self.groups[j]) for j in self.near[i]]
            found = []
            for group in sorted(set(around) - {home}):
                part = float(self.share[i])
                now = self._cost(home, self.sums[home]) + self._cost(group, self.sums[group])
                then = self._cost(home, self.sums[home] - part) + self._cost(group, self.sums[group] + part)
                longer = around.count(home) - around.count(group)
                if now - then > _GAIN:
                    found.append((now - then - self.scale * longer, i, group))
            self.at_hand[i] = found

    def step(self) -> bool:
        """The best move that keeps its group in one piece; False when there is none."""
        choices = sorted((-gain, i, group) for some in self.at_hand.values() for gain, i, group in some if gain > 0)
        for _, i, group in choices:
            if self._may_leave(i):
                self._take(i, group)
                return True
        return False

    def _may_leave(self, i: int) -> bool:
        rest = self.members[int(self.groups[i])] - {i}
        if not rest:
            return False
        edge = [min(rest)]
        seen = set(edge)
        while edge:
            for j in self.near[edge.pop()]:
                if j in rest and j not in seen:
                    seen.add(j)
                    edge.append(j)
        return len(seen) == len(rest)

    def _take(self, i: int, group: int) -> None:
        home = int(self.groups[i])
        self.members[home].remove(i)
        self.members[group].add(i)
        self.groups[i] = group
        self.sums[home] -= self.share[i]
        self.sums[group] += self.share[i]
        self.moves += 1
        touched = self.members[home] | self.members[group]
        self._weigh(touched | {j for k in touched for j in self.near[k]})
