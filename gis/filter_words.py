"""A case filter in words, names in place of codes: for whoever reads a map or a sheet and not its address."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select

from gis import definitions, register
from gis.db import Connection
from gis.rulebook import Rulebook
from gis.search import ZONE, CaseFilter
from gis.tables import case, department, duty_grid, staff

#: Chinese and English.
Words = tuple[str, str]

CHANNELS: Final[Mapping[str, Words]] = {
    "patrol": ("巡查", "Patrol"),
    "public": ("公众", "Public"),
    "hotline": ("热线", "Hotline"),
    "video": ("视频", "Video"),
    "superior": ("上级平台", "Superior platform"),
    "sensor": ("感知设备", "Sensor"),
    "leader": ("领导交办", "Leader"),
}
STATUSES: Final[Mapping[str, Words]] = {
    "open": ("在办", "Open"),
    "closed": ("已结案", "Closed"),
    "void": ("已作废", "Void"),
}
LIGHTS: Final[Mapping[str, Words]] = {
    "green": ("按时", "On time"),
    "yellow": ("将超时", "Due soon"),
    "red": ("超时", "Late"),
    "none": ("未计时", "No clock"),
}
HANDLING_LIGHTS: Final[Mapping[str, Words]] = {
    **LIGHTS,
    "yellow": ("处置将超期", "Handling due soon"),
    "red": ("处置超期", "Handling overdue"),
}
STAGE_LIGHTS: Final[Mapping[str, Words]] = {
    **LIGHTS,
    "yellow": ("环节将超时", "Stage due soon"),
    "red": ("环节超时", "Stage late"),
}
SEVERITIES: Final[Mapping[Any, Words]] = {1: ("一般", "Normal"), 2: ("较重", "Serious"), 3: ("紧急", "Urgent")}
STAGES: Final[Mapping[str, Words]] = {
    "report": ("上报", "Report"),
    "acceptance": ("受理", "Acceptance"),
    "filing": ("立案", "Filing"),
    "dispatch": ("派遣", "Dispatch"),
    "handling": ("处置", "Handling"),
    "feedback": ("反馈", "Feedback"),
    "check": ("核查", "Check"),
    "closing": ("结案", "Closing"),
}
_HEADS: Final[Mapping[str, Words]] = {
    "status": ("状态", "Status"),
    "light": ("时限灯", "Light"),
    "stage": ("环节", "Stage"),
    "state": ("流程状态", "State"),
    "kind": ("种类", "Kind"),
    "channel": ("来源", "Channel"),
    "category": ("类别", "Category"),
    "village": ("村居", "Village"),
    "department": ("部门", "Department"),
    "grid": ("单元网格", "Unit grid"),
    "duty_grid": ("责任网格", "Duty grid"),
    "severity": ("紧急程度", "Severity"),
    "component": ("部件", "Component"),
    "awaits": ("待谁办理", "Waits for"),
    "handling_light": ("处置灯", "Handling light"),
    "stage_light": ("环节灯", "Stage light"),
    "tag": ("专项", "Special action"),
    "assignee": ("经办人", "Assignee"),
    "parent": ("上级案件", "Parent case"),
    "overdue": ("超期", "Overdue"),
    "supervised": ("督办", "Supervised"),
    "urged": ("催办", "Urged"),
    "bbox": ("地图范围", "Map area"),
    "q": ("文字", "Text"),
}
_TIME: Final = ("上报时间", "Reported")
_YES, _NO = ("是", "yes"), ("否", "no")


def words(tx: Connection, book: Rulebook, wanted: CaseFilter, language: str) -> dict[str, str]:
    """What the filter keeps, as heading → names, in ``language`` (zh or en); empty for no filter.

    What has no name any more is told by its code.
    """
    at = 0 if language == "zh" else 1
    comma = "、" if language == "zh" else ", "
    found: dict[str, str] = {}
    if wanted.since or wanted.until:
        found[_TIME[at]] = _between(wanted.since, wanted.until, language)
    for field, head in _HEADS.items():
        value = getattr(wanted, field)
        if value is None or value in ((), ""):
            continue
        if isinstance(value, bool):
            found[head[at]] = (_YES if value else _NO)[at]
        elif field == "q":
            found[head[at]] = f"“{value}”"
        elif field == "bbox":
            west, south, east, north = (f"{one:.4f}°" for one in value)
            found[head[at]] = f"{west}–{east}, {south}–{north}"
        else:
            names = _names(tx, book, field, value, language)
            found[head[at]] = comma.join(names.get(one, str(one)) for one in value)
    return found


def _between(since: datetime | None, until: datetime | None, language: str) -> str:
    """The span in town time; ``until`` itself is out, so a span that ends at midnight ends with the day before."""

    def told(moment: datetime, *, last: bool) -> str:
        moment = moment.astimezone(ZONE)
        if (moment.hour, moment.minute, moment.second) != (0, 0, 0):
            return f"{moment:%Y-%m-%d %H:%M}"
        return f"{moment - timedelta(days=1) if last else moment:%Y-%m-%d}"

    first = told(since, last=False) if since else ""
    last = told(until, last=True) if until else ""
    if language == "zh":
        return f"{first} 至 {last}" if first and last else f"{first} 起" if first else f"{last} 止"
    return f"{first} to {last}" if first and last else f"from {first}" if first else f"until {last}"


def _names(tx: Connection, book: Rulebook, field: str, codes: Iterable[Any], language: str) -> Mapping[Any, str]:
    at = 0 if language == "zh" else 1
    fixed = {
        "status": STATUSES,
        "light": LIGHTS,
        "handling_light": HANDLING_LIGHTS,
        "stage_light": STAGE_LIGHTS,
        "stage": STAGES,
        "channel": CHANNELS,
        "severity": SEVERITIES,
    }
    if field in fixed:
        return {code: both[at] for code, both in fixed[field].items()}
    codes = list(codes)
    match field:
        case "kind":
            return {code: kind.name[language] for code, kind in book.case_kinds.items()}
        case "tag":
            return {code: one.name[language] for code, one in book.campaigns.items()}
        case "state":
            return {code: one.name[language] for flow in book.workflows.values() for code, one in flow.states.items()}
        case "awaits":
            roles = definitions.current(tx, "role").body["roles"]
            return {code: role.get("name", {}).get(language, code) for code, role in roles.items()}
        case "category":
            return {code: _category(book, code) for code in codes}
        case "village":
            return {row.code: row.short_name for row in register.villages(tx)}
        case "department":
            named = select(department.c.code, department.c.name).where(department.c.code.in_(codes))
        case "duty_grid":
            named = select(duty_grid.c.code, duty_grid.c.name).where(duty_grid.c.code.in_(codes))
        case "assignee":
            named = select(staff.c.id, staff.c.name).where(staff.c.id.in_(codes))
        case "parent":
            named = select(case.c.id, case.c.number).where(case.c.id.in_(codes))
        case _:
            return {}
    return {row[0]: row[1] for row in tx.execute(named)}


def _category(book: Rulebook, form: str) -> str:
    """The name of ``kind:prefix``: of a category, or of the group that has the prefix; else the form itself."""
    kind, _, prefix = form.partition(":")
    catalogue = book.catalogues[book.town_catalogue]
    one = catalogue.find(kind, prefix)
    if one is not None:
        return one.name
    groups = {each.group_name for each in catalogue if each.kind == kind and each.group_code == prefix}
    return groups.pop() if groups else form
