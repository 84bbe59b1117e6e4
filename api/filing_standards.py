"""Routes of filing standards: conditions and limits by category, import of a city's workbook, export."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Response, UploadFile
from fastapi.params import File

from api.access import Tx
from api.definitions import Viewer, body_of, may_write
from api.duty_lists import refusal, workbook
from gis import definitions, drafts, people, rulebook, standard_sheet
from gis.db import Connection
from gis.sheet_names import Names

router = APIRouter(tags=["filing standard"])
KIND = "filing_standard"


@router.get("/api/filing-standard")
def browse(caller: Viewer, tx: Tx, which: Annotated[str, Query(max_length=20)] = "in_force") -> dict[str, Any]:
    """Every category with its conditions, their limits in areas of class A, B and C, and whether it is switched off."""
    book, code = rulebook.rulebook(tx), _code(tx)
    body, told = body_of(tx, KIND, code, which)
    catalogue = book.catalogues[book.town_catalogue]
    return told | {
        "code": code,
        "catalogue": catalogue.code,
        "groups": [
            {
                "kind": group.kind,
                "code": group.code,
                "name": group.name,
                "categories": [
                    {
                        "code": category.code,
                        "name": category.name,
                        "off": book.category_status.reason(category.kind, category.code),
                        "units": body.get("units", {}).get(category.kind, {}).get(category.code),
                        "conditions": [
                            {
                                "code": row[0],
                                "text": row[1],
                                "closing": row[2],
                                "limits": dict(zip("ABC", row[3:6], strict=True)),
                                "severity": row[6],
                            }
                            for row in body["conditions"].get(category.kind, {}).get(category.code, [])
                        ],
                    }
                    for category in group.categories
                ],
            }
            for group in catalogue.groups
        ],
    }


@router.get("/api/filing-standard/export")
def export(caller: Viewer, tx: Tx, which: Annotated[str, Query(max_length=20)] = "in_force") -> Response:
    """A standard as an Excel workbook, a row a condition; imported again it is the same standard."""
    code = _code(tx)
    body, _ = body_of(tx, KIND, code, which)
    people.record(tx, caller.id, caller.name, "export.filing_standard", "ok", {"code": code, "which": which})
    return workbook(standard_sheet.write(body, Names.load(tx, rulebook.rulebook(tx))), "filing-standard.xlsx")


@router.post("/api/filing-standard/import")
def bring_in(
    file: Annotated[UploadFile, File()], caller: Viewer, tx: Tx, revision: Annotated[int, Form(ge=0)] = 0
) -> dict[str, Any]:
    """A workbook as the new draft: its categories' conditions instead of those in force, the others as they are.

    Every row lands or is named with why not. ``revision`` is of the draft that the sender saw, 0 for none.
    """
    may_write(caller, KIND)
    code = _code(tx)
    base = dict(definitions.current(tx, KIND, code).body)
    sheet = standard_sheet.read(file.file.read(), Names.load(tx, rulebook.rulebook(tx)), base)
    body, untouched = sheet.body(base)
    kept = drafts.save(tx, KIND, code, body, revision, caller, definitions.versions(tx, KIND, code)[0]["version"])
    what = {"file": file.filename, "landed": len(sheet.landed), "refused": len(sheet.refused)}
    people.record(tx, caller.id, caller.name, "definition.import", "ok", {"kind": KIND, "code": code} | what)
    return {
        "landed": [
            {"sheet": one.sheet, "row": one.row, "category": one.category, "condition": one.condition}
            | {"inherited": list(one.inherited)}
            for one in sheet.landed
        ],
        "refused": [refusal(one) for one in sheet.refused],
        "kept": untouched,
        "draft": {name: kept[name] for name in ("revision", "base_version", "by", "updated_at")},
        "faults": rulebook.faults(tx, KIND, code, body),
    }


def _code(tx: Connection) -> str:
    return definitions.current(tx, KIND).code
