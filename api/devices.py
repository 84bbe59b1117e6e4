"""Routes of the device register: what there is, who has it, when it was last heard of."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import Tx, allow, forget_callers
from gis import devices, shifts
from gis.people import Caller

router = APIRouter(tags=["devices"])
Manager = Annotated[Caller, allow("device.manage")]


class Registration(BaseModel):
    """A device: ``key`` is what it calls itself (the phone app shows it in its self-check)."""

    id: UUID
    kind: Literal["phone", "printer", "camera", "recorder"]
    label: str = Field(min_length=1, max_length=100)
    key: str = Field("", max_length=100)
    note: str = Field("", max_length=1000)


class Step(BaseModel):
    """What happens to a device; ``holder`` is who gets it when it is handed out."""

    step: Literal["hand_out", "take_back", "lose", "find", "retire"]
    holder: UUID | None = None
    note: str | None = Field(None, max_length=1000)


@router.get("/api/devices")
def listed(caller: Manager, tx: Tx) -> dict[str, Any]:
    """Every device, and the people who may hold one."""
    return {
        "items": [
            {
                "id": row.id,
                "kind": row.kind,
                "label": row.label,
                "key": row.key or "",
                "state": row.state,
                "holder": {"id": row.holder_id, "name": row.holder_name, "username": row.holder_username}
                if row.holder_id
                else None,
                "note": row.note,
                "seen_at": row.seen_at,
                "changed_at": row.changed_at,
            }
            for row in devices.listed(tx, datetime.now(UTC))
        ],
        "staff": [{k: one[k] for k in ("id", "name", "username", "department")} for one in shifts.crew(tx)],
    }


@router.post("/api/devices", status_code=201)
def register(body: Registration, caller: Manager, tx: Tx) -> dict[str, Any]:
    """Take a device into the register."""
    devices.register(tx, caller, body.id, body.kind, body.label.strip(), body.key.strip(), body.note)
    return {"id": body.id}


@router.post("/api/devices/{device_id}/steps")
def step(device_id: UUID, body: Step, caller: Manager, tx: Tx) -> dict[str, Any]:
    """Hand out, take back, report lost or found, retire. A lost device's logins end."""
    ended = devices.change(tx, caller, device_id, body.step, body.holder, body.note)
    if ended:
        forget_callers()
    return {"tokens_ended": ended}
