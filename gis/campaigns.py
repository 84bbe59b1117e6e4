"""Special actions (专项): for some weeks certain problems in certain places carry a tag. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from gis import bodies, errors
from gis.bodies import Label
from gis.errors import DefinitionBad
from gis.routing import ANY, Place, area_keys


@dataclass(frozen=True)
class Campaign:
    """One special action: from when to when (both days included), for which categories, in which areas."""

    code: str
    name: Label
    starts: date
    ends: date
    categories: frozenset[str]
    areas: frozenset[str]

    def covers(self, kind: str, category: str, place: Place, day: date) -> bool:
        """Whether a case of this category, there and then, belongs to it."""
        classes = {ANY, kind, f"{kind}:{category[:2]}", f"{kind}:{category}"}
        return (
            self.starts <= day <= self.ends
            and not self.categories.isdisjoint(classes)
            and not self.areas.isdisjoint(area_keys(place))
        )


def parse(body: Mapping[str, Any]) -> Campaign:
    """Check a campaign's body. Raises ``DefinitionBad``."""
    starts, ends = (_day(bodies.entry(body, key, str, key), key) for key in ("starts", "ends"))
    if starts > ends:
        raise DefinitionBad(where="ends", why="it ends before it starts")
    categories, areas = bodies.texts(body, "categories", "categories"), bodies.texts(body, "areas", "areas", [ANY])
    for category in categories:
        if not re.fullmatch(r"\*|(component|event)(:(\d{2}|\d{4}))?", category, re.ASCII):
            raise DefinitionBad(where="categories", why=f"no category: {category}")
    for area in areas:
        if not re.fullmatch(r"\*|class:[ABC]|village:\d{12}|grid:\d{15}|duty:[0-9A-Za-z-]{3,30}", area, re.ASCII):
            raise DefinitionBad(where="areas", why=f"no area: {area}")
    if not categories or not areas:
        raise DefinitionBad(where="categories", why="a campaign needs categories and areas")
    code = bodies.entry(body, "code", str, "")
    return Campaign(code, bodies.label(body, "name", "name"), starts, ends, frozenset(categories), frozenset(areas))


def fitting(campaigns: Iterable[Campaign], kind: str, category: str, place: Place, day: date) -> list[Campaign]:
    """The campaigns a case of this category, there and then, belongs to."""
    return [one for one in campaigns if one.covers(kind, category, place, day)]


def check_tags(tags: Collection[str], fitting: Collection[Campaign]) -> list[str]:
    """The tags, each once and sorted. Raises ``TagUnknown`` for one that is no campaign the case belongs to."""
    known = {one.code for one in fitting}
    wrong = sorted(set(tags) - known)
    if wrong:
        raise errors.TagUnknown(tags=wrong[:20], known=sorted(known))
    return sorted(set(tags))


def _day(text: str, where: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise DefinitionBad(where=where, why=f"no date: {text}") from error
