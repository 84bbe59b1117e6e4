"""What differs between two bodies of a definition, field by field. Pure; knows no kind of definition."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs. ``path`` names entries of lists by their id or code where they have one.

    ``kind`` is added, removed, changed, or moved (the same entries in another order: ``before`` and ``after`` list
    their names). What is added has no ``before`` (None), what is removed no ``after``.
    """

    path: tuple[str, ...]
    kind: str
    before: Any
    after: Any


def difference(before: Any, after: Any, path: tuple[str, ...] = ()) -> Iterator[Change]:
    """Every change from ``before`` to ``after``, in the order of the older body, then of the newer."""
    if before == after and type(before) is type(after):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _entries(before, after, path)
        return
    if isinstance(before, Sequence) and isinstance(after, Sequence):
        old, new = _named(before), _named(after)
        if old is not None and new is not None:
            yield from _entries(old, new, path)
            both = [name for name in old if name in new]
            order = [name for name in new if name in old]
            if both != order:
                yield Change(path, "moved", both, order)
            return
    yield Change(path, "changed", before, after)


def _entries(before: Mapping[Any, Any], after: Mapping[Any, Any], path: tuple[str, ...]) -> Iterator[Change]:
    for name, value in before.items():
        if name not in after:
            yield Change((*path, str(name)), "removed", value, None)
        else:
            yield from difference(value, after[name], (*path, str(name)))
    for name, value in after.items():
        if name not in before:
            yield Change((*path, str(name)), "added", None, value)


def _named(entries: Any) -> dict[str, Any] | None:
    """Entries by their own names, or None where they have none that tells each apart.

    A name is an entry's ``id``, its ``kind`` and ``code``, its ``code``, or the first of a row of texts.
    """
    if isinstance(entries, str) or not entries:
        return None if isinstance(entries, str) else {}
    found: dict[str, Any] = {}
    for entry in entries:
        if isinstance(entry, Mapping):
            parts = [entry["id"]] if "id" in entry else [entry[key] for key in ("kind", "code") if key in entry]
        else:
            parts = [entry[0]] if isinstance(entry, list) and entry else []
        if not parts or not all(isinstance(part, str) for part in parts):
            return None
        found[" ".join(parts)] = entry
    return found if len(found) == len(entries) else None
