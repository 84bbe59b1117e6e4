"""Names as people type them: Chinese, pinyin, initials, a wrong character, a slip of the finger. Pure; knows no table.

Every name has a key in its characters, in pinyin, in soft pinyin (sounds many people do not tell apart written as one)
and in initials. What is typed is looked for in these in order of certainty; only where that finds too little is it
compared letter by letter (edit distance to the nearest part of a name, after E. Ukkonen's and P. Sellers' recurrence).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SOFT: Final = (("zh", "z"), ("ch", "c"), ("sh", "s"), ("ang", "an"), ("eng", "en"), ("ing", "in"), ("l", "n"))
_CANDIDATES: Final = 150
_KINDS: Final = {"town": 0, "division": 1, "poi": 2, "address": 3}


@dataclass(frozen=True)
class Entry:
    """Something with a name and a place, EPSG:4490 degrees; ``kind`` is town, division (a village), poi or address.

    ``bbox`` is the extent of what is more than a point: west, south, east, north.
    """

    kind: str
    name: str
    address: str
    lon: float
    lat: float
    code: str = ""
    bbox: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class _Keys:
    name: str
    address: str
    pinyin: str
    starts: frozenset[int]
    initials: str
    soft: str


def syllables(text: str) -> list[str]:
    """The pinyin of each Chinese character, lower case; what is not Chinese stays in pieces as it is."""
    from pypinyin import lazy_pinyin  # not before somebody searches: its dictionary takes 50 MB

    return [one.lower() for one in lazy_pinyin(text)]


@lru_cache(maxsize=4096)
def soft(syllable: str) -> str:
    """A syllable with the sounds that southern and northern speech confuse written as one."""
    for sharp, blunt in _SOFT:
        syllable = syllable.replace(sharp, blunt)
    return syllable


def _chinese(text: str) -> bool:
    return any("\u4e00" <= c <= "\u9fff" for c in text)


def allowed(length: int) -> int:
    """How many slips a word of this many letters may have."""
    return 0 if length < 3 else 1 if length < 7 else 2


def slips(word: str, text: str, most: int) -> int:
    """The least number of letters inserted, left out or changed that make ``word`` a part of ``text``.

    More than ``most`` is told as ``most`` + 1.
    """
    row = [0] * (len(text) + 1)
    for i, letter in enumerate(word, start=1):
        above, row = row, [i]
        for j, other in enumerate(text, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != other)))
        if min(row) > most:
            return most + 1
    return min(row)


class PlaceIndex:
    """The names of a town, ready to be searched."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = list(entries)
        self._keys = [_keys(entry) for entry in self.entries]
        postings: dict[str, list[int]] = defaultdict(list)
        for number, keys in enumerate(self._keys):
            for pair in _pairs(keys.name) | _pairs(keys.soft):
                postings[pair].append(number)
        self._postings: dict[str, NDArray[np.int64]] = {k: np.array(v, np.int64) for k, v in postings.items()}

    def find(self, typed: str, limit: int) -> list[Entry]:
        """The entries that ``typed`` may mean, best first: every word of it must fit."""
        words = typed.lower().split()
        if not words:
            return []
        scores = dict.fromkeys(range(len(self.entries)), 200)
        for word in words:
            found = self._exact(word, scores)
            if len(found) < limit:
                found = self._near(word, scores) | found
            scores = {number: min(scores[number], score) for number, score in found.items()}
        order = sorted(scores, key=lambda number: (-scores[number], *self._tie(number)))
        return [self.entries[number] for number in order[:limit]]

    def _tie(self, number: int) -> tuple[int, int, str, int]:
        entry = self.entries[number]
        return _KINDS.get(entry.kind, 9), len(entry.name), entry.name, number

    def _exact(self, word: str, among: dict[int, int]) -> dict[int, int]:
        letters = "" if _chinese(word) else word
        sound = "".join(soft(one) for one in syllables(word))
        found = {}
        for number in among:
            score = _score(word, letters, sound, self._keys[number])
            if score:
                found[number] = score
        return found

    def _near(self, word: str, among: dict[int, int]) -> dict[int, int]:
        sound = "".join(soft(one) for one in syllables(word))
        counts = np.zeros(len(self.entries), np.int64)
        for pair in _pairs(word) | _pairs(sound):
            counts[self._postings.get(pair, np.empty(0, np.int64))] += 1
        best = np.argsort(-counts, kind="stable")[:_CANDIDATES]
        found = {}
        for number in best[counts[best] > 0].tolist():
            if number not in among:
                continue
            keys = self._keys[number]
            pairs = ((word, keys.name), (word, keys.pinyin), (sound, keys.soft))
            counted = [(slips(typed, text, allowed(len(typed))), allowed(len(typed))) for typed, text in pairs]
            likely = [many for many, most in counted if many <= most]
            if likely:
                found[number] = 40 - 8 * min(likely)
        return found


def _keys(entry: Entry) -> _Keys:
    parts = syllables(entry.name)
    starts, at = set(), 0
    for part in parts:
        starts.add(at)
        at += len(part)
    # What is not Chinese comes back as it was and is kept whole: 府前街29号 is fqj29h.
    lower = entry.name.lower()
    initials = "".join(part if part in lower else part[:1] for part in parts)
    return _Keys(
        lower, entry.address.lower(), "".join(parts), frozenset(starts), initials, "".join(soft(part) for part in parts)
    )


def _score(word: str, letters: str, sound: str, keys: _Keys) -> int:
    """How surely a word means a name, 0 for not at all."""
    if word == keys.name:
        return 100
    if keys.name.startswith(word):
        return 90
    if letters and letters == keys.initials:
        return 85
    if word in keys.name:
        return 80
    if letters:
        if letters == keys.pinyin:
            return 78
        if keys.pinyin.startswith(letters):
            return 75
        if len(letters) > 1 and keys.initials.startswith(letters):
            return 72
    if word in keys.address:
        return 66 if keys.address.startswith(word) else 64
    if len(letters) > 1:
        at = keys.pinyin.find(letters)
        while at >= 0:
            if at in keys.starts:
                return 60
            at = keys.pinyin.find(letters, at + 1)
        if len(letters) > 2 and letters in keys.initials:
            return 58
    return 50 if len(sound) > 3 and keys.soft.startswith(sound) else 46 if len(sound) > 5 and sound in keys.soft else 0


def _pairs(text: str) -> set[str]:
    return {text[i : i + 2] for i in range(len(text) - 1)}
