"""Routes of the duty list's editor: areas to choose from, import, export, audit, replay on past cases."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Response, UploadFile
from fastapi.params import File

from api.access import Tx, allow
from api.definitions import DRAFT, Viewer, body_of, may_write
from gis import definitions, drafts, duty_lists, duty_sheet, people, register, rulebook, workbooks
from gis.db import Connection
from gis.people import Caller
from gis.routing import DutyList
from gis.routing_audit import Gap, Overlap
from gis.routing_replay import Answer
from gis.sheet_names import Names

router = APIRouter(tags=["duty list"])
KIND = "duty_list"
#: The areas of an audit's gaps and overlaps that are told; the rest is counted.
MOST_TOLD = 500
Which = Annotated[str, Query(max_length=20)]


@router.get("/api/areas", dependencies=[allow("map.view")])
def areas(tx: Tx) -> dict[str, Any]:
    """What a rule's area may be beside a single unit grid: villages and duty grids in force."""
    return register.areas(tx)


@router.get("/api/areas/{area}", dependencies=[allow("map.view")])
def area(area: str, tx: Tx) -> dict[str, Any]:
    """Where ``village:…``, ``duty:…`` or ``grid:…`` lies: its name and bbox in degrees."""
    return register.area(tx, area)


@router.get("/api/duty-list/export")
def export(caller: Viewer, tx: Tx, which: Which = "in_force") -> Response:
    """A duty list as an Excel workbook; imported again it is the same list."""
    book, code = rulebook.rulebook(tx), _code(tx)
    body, _ = body_of(tx, KIND, code, which)
    people.record(tx, caller.id, caller.name, "export.duty_list", "ok", {"code": code, "which": which})
    return workbook(duty_sheet.write(body, Names.load(tx, book)), "duty-list.xlsx")


@router.post("/api/duty-list/import")
def bring_in(
    file: Annotated[UploadFile, File()], caller: Viewer, tx: Tx, revision: Annotated[int, Form(ge=0)] = 0
) -> dict[str, Any]:
    """A workbook as the new draft: its rules instead of those in force. Every row lands or is named with why not.

    ``revision`` is of the draft that the sender saw, 0 for none.
    """
    may_write(caller, KIND)
    code = _code(tx)
    content = file.file.read()
    sheet = duty_sheet.read(content, Names.load(tx, rulebook.rulebook(tx)))
    body = sheet.body(dict(definitions.current(tx, KIND, code).body))
    kept = drafts.save(tx, KIND, code, body, revision, caller, definitions.versions(tx, KIND, code)[0]["version"])
    what = {"file": file.filename, "landed": len(sheet.rules), "refused": len(sheet.refused)}
    people.record(tx, caller.id, caller.name, "definition.import", "ok", {"kind": KIND, "code": code} | what)
    return {
        "landed": len(sheet.rules),
        "refused": [refusal(one) for one in sheet.refused],
        "draft": {name: kept[name] for name in ("revision", "base_version", "by", "updated_at")},
        "faults": rulebook.faults(tx, KIND, code, body),
    }


@router.get("/api/duty-list/audit")
def audit(caller: Viewer, tx: Tx, which: Which = DRAFT) -> dict[str, Any]:
    """Classes that nobody has somewhere, rules that meet by precedence only, rules that decide nothing."""
    book = rulebook.rulebook(tx)
    listed = _list(tx, which)
    found, where = duty_lists.audit(tx, book, listed)
    catalogue = book.catalogues[book.town_catalogue]
    rules = {rule.id: rule for rule in listed.rules}

    def gap(one: Gap) -> dict[str, Any]:
        kind, code = one.category
        return {
            "category": f"{kind}:{code}",
            "name": catalogue.category(kind, code).name,
            "grids": one.grids,
            "example": {"grid": one.example} | where[one.example],
            "with_component": one.with_component,
        }

    def overlap(one: Overlap) -> dict[str, Any]:
        return {
            "winner": one.winner,
            "loser": one.loser,
            "departments": [rules[one.winner].department, rules[one.loser].department],
            "example": {"grid": one.example} | where[one.example],
        }

    return {
        "gaps": [gap(one) for one in found.gaps[:MOST_TOLD]],
        "overlaps": [overlap(one) for one in found.overlaps[:MOST_TOLD]],
        "idle": list(found.idle),
        "counts": {"gaps": len(found.gaps), "overlaps": len(found.overlaps), "idle": len(found.idle)},
        "grids": len(duty_lists.places(tx)),
    }


@router.get("/api/duty-list/replay")
def replay(
    caller: Annotated[Caller, allow("case.view")],
    tx: Tx,
    which: Which = DRAFT,
    days: Annotated[int, Query(ge=1, le=366)] = 30,
    from_department: Annotated[str | None, Query(alias="from", max_length=40)] = None,
    to_department: Annotated[str | None, Query(alias="to", max_length=40)] = None,
    cursor: Annotated[str, Query(max_length=100)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """The draft asked about the last ``days`` days' cases: how many would go elsewhere than by the list in force.

    ``pairs`` counts them by department (``""``: nobody's); ``items`` are the cases, the newest first, of one pair
    only where ``from`` and ``to`` say so. Only cases that the caller may see.
    """
    caller.may("definition.view")
    book = rulebook.rulebook(tx)
    since = datetime.now(UTC) - timedelta(days=days)
    found = duty_lists.replay(tx, caller, book.duty_list, _list(tx, which), since)
    wanted = [
        one
        for one in duty_lists.after_cursor(found.moved, cursor)
        if from_department in (None, one.before.department) and to_department in (None, one.after.department)
    ]
    names = register.department_names(tx)

    def owner(code: str | None) -> dict[str, str] | None:
        return {"code": code, "name": names.get(code, code)} if code else None

    def told(answer: Answer) -> dict[str, Any]:
        return {"department": owner(answer.department), "rule_id": answer.rule_id}

    catalogue = book.catalogues[book.town_catalogue]
    items = []
    for one in wanted[:limit]:
        category = catalogue.find(*one.category)
        items.append(
            {
                "id": str(one.id),
                "number": one.number,
                "reported_at": one.reported_at,
                "category": {
                    "kind": one.category[0],
                    "code": one.category[1],
                    "name": category.name if category else one.category[1],
                },
                "village": register.division_name(tx, one.village_code),
                "description": one.description,
                "status": one.status,
                "department": owner(one.department_code),
                "before": told(one.before),
                "after": told(one.after),
            }
        )
    return {
        "since": since,
        "days": days,
        "cases": found.cases,
        "complete": found.complete,
        "moved": len(found.moved),
        "unowned_before": found.unowned_before,
        "unowned_after": found.unowned_after,
        "rule_changed": found.rule_changed,
        "helpers_changed": found.helpers_changed,
        "pairs": [{"from": owner(a), "to": owner(b), "cases": n} for (a, b), n in found.pairs.items()],
        "items": items,
        "next": duty_lists.cursor_of(wanted[limit - 1]) if len(wanted) > limit else None,
    }


def workbook(content: bytes, name: str) -> Response:
    """A workbook as a download."""
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "private, no-store"}
    return Response(content, media_type=workbooks.XLSX, headers=headers)


def refusal(one: workbooks.Refusal) -> dict[str, Any]:
    """A row that did not land."""
    return {
        "sheet": one.sheet,
        "row": one.row,
        "column": one.column,
        "value": one.value[:200],
        "code": one.code,
        "why": {"zh": one.zh, "en": one.en},
    }


def _code(tx: Connection) -> str:
    return definitions.current(tx, KIND).code


def _list(tx: Connection, which: str) -> DutyList:
    body, _ = body_of(tx, KIND, _code(tx), which)
    checked: DutyList = definitions.check(KIND, body)
    return checked
