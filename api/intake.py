"""Routes of intake: what is known of a point, what may be the same problem, forms, guides, callers, codes."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field, FiniteFloat

from api import case_views
from api.access import Day, Throttle, Tx, allow, anyone
from gis import errors, forms, geometry, guides, intake, intake_form, people, personal, search
from gis.intake import Asked
from gis.people import Caller
from gis.rulebook import rulebook

router = APIRouter(tags=["intake"])
Reporter = Annotated[Caller, allow("case.report")]
Unmasker = Annotated[Caller, allow("personal.unmask")]
Keeper = Annotated[Caller, allow("exception.manage")]
_questions = Throttle(per_minute=600)
"""Of forms and guides asked for without a login, by address."""


def _asked(
    lon: FiniteFloat,
    lat: FiniteFloat,
    crs: Annotated[str, Query(max_length=30)] = geometry.STORED,
    kind: Annotated[str, Query(max_length=30)] = "case",
    channel: Annotated[str, Query(max_length=30)] = "patrol",
    category_kind: Literal["", "component", "event"] = "",
    category_code: Annotated[str, Query(max_length=10)] = "",
    condition_code: Annotated[str, Query(max_length=30)] = "",
    component: Annotated[str, Query(max_length=16)] = "",
    severity: Annotated[int | None, Query(ge=1, le=3)] = None,
    self_handled: bool = False,
    words: Annotated[str, Query(max_length=200)] = "",
) -> Asked:
    texts = (kind, channel, category_code, condition_code, component, words)
    if any("\x00" in text for text in texts):
        raise errors.Malformed(why="a null character")
    return Asked(
        float(lon),
        float(lat),
        crs,
        kind,
        channel,
        category_kind,
        category_code,
        condition_code,
        component,
        severity,
        self_handled,
        words,
    )


Point = Annotated[Asked, Depends(_asked)]


@router.get("/api/intake/facts")
def facts(caller: Reporter, tx: Tx, asked: Point) -> dict[str, Any]:
    """What is known of a point, and what would become of a report of the category there."""
    return intake.facts(tx, caller, asked)


@router.get("/api/intake/similar")
def similar(caller: Reporter, tx: Tx, asked: Point) -> dict[str, Any]:
    """Open cases that may be the same problem: near in place and time, the likeliest first."""
    now, book = datetime.now(UTC), rulebook(tx)
    found = intake.similar(tx, caller, asked, now)
    items = [
        case_views.item(tx, book, row, now) | {"distance_m": round(metres, 1), "why": why} for row, metres, why in found
    ]
    rules = book.intake_rules
    hours = rules.similar_within.total_seconds() / 3600
    return {"items": items, "radius_m": rules.similar_m, "hours": hours}


@router.get("/api/intake/categories", dependencies=[allow("case.report")])
def categories(tx: Tx) -> dict[str, Any]:
    """Every category with what it is found by: name, pinyin, initials, what people say."""
    return {"items": intake.categories(rulebook(tx))}


def _limited(request: Request) -> None:
    _questions.take(request.client.host if request.client else "")


@router.get("/api/forms", dependencies=[anyone("a form holds questions, no data"), Depends(_limited)])
def form(
    tx: Tx, kind: Annotated[str, Query(max_length=30)] = "case", channel: Annotated[str, Query(max_length=30)] = ""
) -> dict[str, Any]:
    """The form of reports of a kind from a channel; null where they have none."""
    found = forms.find(rulebook(tx).forms.values(), kind, channel)
    return {"form": found.schema if found else None}


@router.get("/api/guides", dependencies=[anyone("a guide holds questions, no data"), Depends(_limited)])
def guides_of(tx: Tx, channel: Annotated[str, Query(max_length=30)] = "public") -> dict[str, Any]:
    """The guides for reports from a channel."""
    return {"items": [one.schema for one in rulebook(tx).guides.values() if channel in one.channels]}


class Chosen(BaseModel):
    """The situations chosen in a guide."""

    chosen: list[str] = Field(max_length=guides.CHOSEN_MAX)


@router.post("/api/guides/{code}/resolve", dependencies=[anyone("it answers from the guide alone"), Depends(_limited)])
def resolve(code: str, body: Chosen, tx: Tx) -> dict[str, Any]:
    """The reports that the chosen situations come to; those that cannot both be are refused in words."""
    book = rulebook(tx)
    guide = book.guides.get(code)
    if guide is None:
        raise errors.DefinitionUnknown(kind="guide", code=code[:60])
    catalogue = book.catalogues[book.town_catalogue]
    return {
        "catalogue": catalogue.code,
        "reports": [
            {
                "category": {
                    "kind": one.kind,
                    "code": one.category,
                    "name": catalogue.category(one.kind, one.category).name,
                },
                "condition_code": one.condition,
                "fill": dict(one.fill),
                "material": [
                    {"code": m.code, "name": dict(m.name), "type": m.type, "required": m.required} for m in one.material
                ],
                "because": [{"code": option.code, "name": dict(option.name)} for option in one.because],
            }
            for one in guides.resolve(guide, body.chosen)
        ],
    }


class Phone(BaseModel):
    """A caller's number; in a body, so that no log of addresses holds it."""

    phone: str = Field(min_length=5, max_length=30)


@router.post("/api/intake/caller")
def known_caller(body: Phone, caller: Unmasker, tx: Tx) -> dict[str, Any]:
    """What is known of a number: earlier cases within the caller's rights, and entries on the register."""
    return {
        "earlier": _items(tx, tx.execute(intake_form.earlier_of_phone(caller, body.phone)).all()),
        "exceptions": _entries(tx, intake_form.exceptions(tx, caller, body.phone)),
    }


@router.get("/api/cases/{case_id}/form")
def told(case_id: UUID, caller: Annotated[Caller, allow("case.view")], tx: Tx) -> dict[str, Any]:
    """What the form of a case holds, personal data masked, and earlier cases told by the same person."""
    row = _visible(tx, caller, case_id)
    return {
        "fields": intake_form.shown(tx, rulebook(tx), row._mapping),
        "earlier": _items(tx, tx.execute(intake_form.earlier_of_case(caller, case_id)).all()),
    }


class Reason(BaseModel):
    """Why somebody does what is recorded."""

    reason: str = Field(min_length=2, max_length=500)


@router.post("/api/cases/{case_id}/unmask")
def unmask(case_id: UUID, body: Reason, caller: Unmasker, tx: Tx) -> dict[str, Any]:
    """The personal data of a case in clear. Who asked, and why, goes to the audit."""
    row = _visible(tx, caller, case_id)
    values = intake_form.people_of(tx, case_id)
    detail = {"case": str(case_id), "number": row.number, "fields": sorted(values), "reason": body.reason}
    people.record(tx, caller.id, caller.name, "personal.unmask", "ok", detail)
    return {"fields": values}


class Block(BaseModel):
    """A number to be put on the block list. ``until`` is the last day."""

    phone: str = Field(min_length=5, max_length=30)
    reason: str = Field(min_length=2, max_length=500)
    until: Day


@router.get("/api/intake/exceptions")
def exceptions(caller: Keeper, tx: Tx, lifted: bool = False) -> dict[str, Any]:
    """The register: who is blocked, what was promised; or what of it was lifted. No number can be read from it."""
    return {"items": _entries(tx, intake_form.exceptions(tx, caller, lifted=lifted))}


@router.post("/api/intake/exceptions/find")
def exceptions_of(body: Phone, caller: Keeper, tx: Tx) -> dict[str, Any]:
    """The entries of a number that are in force."""
    return {"items": _entries(tx, intake_form.exceptions(tx, caller, body.phone))}


def _entries(tx: Tx, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries with the names of the fields that were promised."""
    known = rulebook(tx).forms.values()
    for entry in found:
        form = forms.find(known, entry.pop("case_kind") or "", entry.pop("channel") or "")
        names = entry["reason"].split("、") if entry["kind"] == "commitment" else []
        labels = {name: dict(form.fields[name].label) for name in names if form and name in form.fields}
        entry["fields"] = [labels.get(name, {"zh": name, "en": name}) for name in names]
    return found


@router.post("/api/intake/exceptions", status_code=201)
def block(body: Block, caller: Keeper, tx: Tx) -> dict[str, Any]:
    """Block a number until a day; danger (severity 3) is heard from it all the same."""
    made = intake_form.block(tx, caller, body.phone, body.reason, body.until)
    detail = {"id": str(made), "phone": personal.mask_phone(body.phone), "until": body.until.isoformat()}
    people.record(tx, caller.id, caller.name, "exception.block", "ok", detail | {"reason": body.reason})
    return {"id": str(made)}


@router.post("/api/intake/exceptions/{entry}/lift", status_code=204)
def lift(entry: UUID, body: Reason, caller: Keeper, tx: Tx) -> None:
    """End a block, or note that a promise was kept."""
    intake_form.lift(tx, caller, entry, body.reason)
    people.record(tx, caller.id, caller.name, "exception.lift", "ok", {"id": str(entry), "reason": body.reason})


@router.get("/api/codes/{code}")
def by_code(code: str, caller: Annotated[Caller, allow("case.view")], tx: Tx) -> dict[str, Any]:
    """The case that a number, a query code or another system's number stands for, within the caller's rights."""
    if "\x00" in code:
        raise errors.CaseNotFound()
    return _items(tx, [_visible(tx, caller, intake.by_code(tx, caller, code))])[0]


def _visible(tx: Tx, caller: Caller, case_id: UUID) -> Any:
    rows = search.some(tx, caller, [case_id])
    if not rows:
        raise errors.CaseNotFound(id=str(case_id))
    return rows[0]


def _items(tx: Tx, rows: Any) -> list[dict[str, Any]]:
    now, book = datetime.now(UTC), rulebook(tx)
    return [case_views.item(tx, book, row, now) for row in rows]
