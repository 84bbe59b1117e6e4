"""What the form of its kind and channel adds to a report: checked values, sealed personal data, foreign numbers, tags.

Knows rows beside the case; the case itself is written by gis.cases. Who is on the register of exceptions is refused
here: a blocked caller is heard only about urgent danger, and who has broken a promise cannot promise again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Select, func, insert, select, update

from gis import campaigns, errors, forms, personal
from gis.areas import PlaceFacts
from gis.catalogue import Category
from gis.db import Connection
from gis.forms import Form
from gis.people import Caller
from gis.rulebook import Rulebook
from gis.search import ZONE, named, visible_cases
from gis.tables import case, case_code, case_person, case_task, intake_exception

URGENT: Final = 3
# Nobody may promise for later than this.
PROMISE_DAYS: Final = 60
EARLIER_MOST: Final = 20


@dataclass(frozen=True)
class Promise:
    """Conditional acceptance (容缺受理): these fields are handed in until that day, or the promise is broken."""

    fields: tuple[str, ...]
    until: date


@dataclass(frozen=True)
class Told:
    """What a report's form comes to. ``people`` is {field: (value, pseudonym or None)}, to be sealed."""

    values: Mapping[str, Any] = field(default_factory=dict)
    people: Mapping[str, tuple[str, bytes | None]] = field(default_factory=dict)
    external: str = ""
    tags: tuple[str, ...] = ()
    promised: tuple[str, ...] = ()
    until: date | None = None


def read(
    tx: Connection,
    book: Rulebook,
    *,
    kind: str,
    channel: str,
    given: Mapping[str, Any] | None,
    promise: Promise | None,
    tags: Sequence[str],
    category: Category,
    severity: int,
    place: PlaceFacts,
    external: str,
    at: datetime,
) -> Told:
    """Judge a report's form (None: the sender knows no forms), its promise and its tags.

    ``external`` is what the channel calls the case where no field of the form says it.

    Raises ``FormInvalid``, ``TagUnknown``, ``CallerBlocked``, ``CommitmentBroken`` or ``Malformed``.
    """
    day = at.astimezone(ZONE).date()
    fitting = campaigns.fitting(book.campaigns.values(), category.kind, category.code, place, day) if tags else []
    marks = tuple(campaigns.check_tags(tags, fitting))
    form = forms.find(book.forms.values(), kind, channel)
    if given is None or form is None:
        if given or promise:
            raise errors.FormInvalid(kind=kind, channel=channel, why="there is no form for these reports")
        return Told(external=external, tags=marks)
    checked = forms.accept(form, given, promise.fields if promise else ())
    people, values = _apart(form, checked.values)
    subjects = [subject for _, subject in people.values() if subject is not None]
    _refuse_blocked(tx, subjects, severity, day)
    if checked.promised:
        assert promise is not None  # only what was promised is missing
        _check_promise(tx, subjects, promise, day)
    external = str(values.get(form.external) or external) if form.external else external
    until = promise.until if promise and checked.promised else None
    return Told(values, people, external, marks, checked.promised, until)


def write(tx: Connection, case_id: UUID, channel: str, told: Told, caller: Caller, at: datetime) -> None:
    """Write what was told beside a case that has just been opened, in the same transaction."""
    if told.people:
        tx.execute(
            insert(case_person),
            [
                {"case_id": case_id, "field": name, "sealed": personal.seal(value, f"{case_id} {name}"), "subject": who}
                for name, (value, who) in told.people.items()
            ],
        )
    if told.external:
        tx.execute(insert(case_code).values(case_id=case_id, channel=channel, code=told.external))
    if told.tags:
        tx.execute(update(case).where(case.c.id == case_id).values(tags=list(told.tags)))
    if told.promised and told.until:
        _write_promise(tx, case_id, told, caller, at)


def first_of(tx: Connection, channel: str, external: str) -> UUID | None:
    """The case that already has this number of its channel. Whoever asks holds the number until the transaction ends.

    Case tables share no uniqueness across cases: a lock keeps two senders of one number apart.
    """
    tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{channel} {external}", 0))))
    found = tx.execute(
        select(case_code.c.case_id).where(case_code.c.channel == channel, case_code.c.code == external).limit(1)
    ).scalar()
    return UUID(str(found)) if found is not None else None


# --- Showing it -------------------------------------------------------------------------------------------------


def people_of(tx: Connection, case_id: UUID) -> dict[str, str]:
    """The personal values of a case in clear, by field: to be masked, or for those who may. Raises ``SealBroken``."""
    rows = tx.execute(select(case_person.c.field, case_person.c.sealed).where(case_person.c.case_id == case_id))
    return {row.field: personal.unseal(bytes(row.sealed), f"{case_id} {row.field}") for row in rows}


def shown(tx: Connection, book: Rulebook, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A case's form as whoever sees the case sees it: {name, type, label, value, words, personal}, masked."""
    form = forms.find(book.forms.values(), row["kind"], row["channel"])
    values = dict(row["extra"].get("form") or {})
    if form is None:
        return []
    people = people_of(tx, row["id"])
    found = []
    for name, one in form.fields.items():
        value = mask(one, people[name]) if name in people else values.get(name)
        if value is None:
            continue
        words = next((dict(c.label) for c in one.choices if c.value == value), None)
        found.append(
            {
                "name": name,
                "type": one.type,
                "label": dict(one.label),
                "value": value,
                "words": words,
                "personal": one.personal,
            }
        )
    return found


def mask(one: forms.Field, value: str) -> str:
    """A personal value as everybody sees it."""
    return personal.mask_phone(value) if one.type == "phone" else personal.mask_name(value)


def masked(book: Rulebook, kind: str, channel: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A form as it was sent, for those who may not read personal data; what is no field of it may be anything."""
    form = forms.find(book.forms.values(), kind, channel)
    known = form.fields if form else {}
    return {
        name: "**" if name not in known else mask(known[name], str(value)) if known[name].personal else value
        for name, value in given.items()
    }


def earlier_of_case(caller: Caller, case_id: UUID) -> Select[Any]:
    """The other cases the caller may see that were told by the same person as this one, the newest first."""
    subjects = select(case_person.c.subject).where(case_person.c.case_id == case_id, case_person.c.subject.is_not(None))
    told = select(case_person.c.case_id).where(case_person.c.subject.in_(subjects))
    return _newest(visible_cases(caller).where(case.c.id.in_(told), case.c.id != case_id))


def earlier_of_phone(caller: Caller, phone: str) -> Select[Any]:
    """The cases the caller may see that were told from this number, the newest first."""
    told = select(case_person.c.case_id).where(case_person.c.subject == personal.pseudonym(phone))
    return _newest(visible_cases(caller).where(case.c.id.in_(told)))


def _newest(cases: Select[Any]) -> Select[Any]:
    page = named(cases.order_by(case.c.reported_at.desc(), case.c.id).limit(EARLIER_MOST))
    return page.order_by(page.selected_columns.reported_at.desc(), page.selected_columns.id)


# --- The register of exceptions ---------------------------------------------------------------------------------


def block(tx: Connection, by: Caller, phone: str, reason: str, until: date) -> UUID:
    """Put a number on the block list until a day; returns the entry's id. Raises ``Malformed``."""
    if len(personal.plain_phone(phone)) < 5:
        raise errors.Malformed(field="phone", why="no telephone number")
    made = uuid4()
    tx.execute(
        insert(intake_exception).values(
            id=made,
            kind="blocked",
            subject=personal.pseudonym(phone),
            reason=reason,
            until=until,
            by_id=by.id,
            by=by.name,
        )
    )
    return made


def lift(tx: Connection, by: Caller, entry: UUID, reason: str) -> None:
    """End an entry: a block, or a promise that was kept. Raises ``NotFound`` where none is in force."""
    lifted = tx.execute(
        update(intake_exception)
        .where(intake_exception.c.id == entry, intake_exception.c.lifted_at.is_(None))
        .values(lifted_at=func.now(), lifted_by=by.name, lift_reason=reason)
        .returning(intake_exception.c.id)
    ).first()
    if lifted is None:
        raise errors.NotFound(exception=str(entry))


def keep_promises(tx: Connection, by: Caller, case_id: UUID, reason: str) -> None:
    """Lift what was promised for a case: the material has come, whether or not it was in time."""
    tx.execute(
        update(intake_exception)
        .where(
            intake_exception.c.case_id == case_id,
            intake_exception.c.kind == "commitment",
            intake_exception.c.lifted_at.is_(None),
        )
        .values(lifted_at=func.now(), lifted_by=by.name, lift_reason=reason)
    )


def exceptions(
    tx: Connection, caller: Caller, phone: str | None = None, *, lifted: bool = False, limit: int = 200
) -> list[dict[str, Any]]:
    """Entries in force, or those lifted, the newest first; of one number if given.

    Each {id, kind, reason, until, in_time, by, created_at, case_id, number, case_kind, channel, lifted_at, lifted_by,
    lift_reason}; ``in_time``: its last day has not passed. No number can be read from them, and a case only by who may
    see it.
    """
    columns = (case.c.id, case.c.number, case.c.kind, case.c.channel)
    mine = visible_cases(caller).with_only_columns(*columns).subquery()
    ended = intake_exception.c.lifted_at
    wanted = (
        select(intake_exception, mine.c.id.label("seen"), mine.c.number, mine.c.kind.label("case_kind"), mine.c.channel)
        .join(mine, mine.c.id == intake_exception.c.case_id, isouter=True)
        .where(ended.is_not(None) if lifted else ended.is_(None))
        .order_by((ended if lifted else intake_exception.c.created_at).desc(), intake_exception.c.id)
        .limit(limit)
    )
    today = datetime.now(ZONE).date()
    if phone is not None:
        wanted = wanted.where(intake_exception.c.subject == personal.pseudonym(phone))
    return [
        {
            "id": str(row.id),
            "kind": row.kind,
            "reason": row.reason,
            "until": row.until.isoformat(),
            "in_time": row.until >= today,
            "by": row.by,
            "created_at": row.created_at,
            "case_id": str(row.seen) if row.seen else None,
            "number": row.number,
            "case_kind": row.case_kind,
            "channel": row.channel,
            "lifted_at": row.lifted_at,
            "lifted_by": row.lifted_by,
            "lift_reason": row.lift_reason,
        }
        for row in tx.execute(wanted)
    ]


def _apart(form: Form, checked: Mapping[str, Any]) -> tuple[dict[str, tuple[str, bytes | None]], dict[str, Any]]:
    """(personal values with pseudonyms, the others)."""
    people = {
        name: (value, personal.pseudonym(value) if form.fields[name].type == "phone" else None)
        for name, value in checked.items()
        if form.fields[name].personal
    }
    return people, {name: value for name, value in checked.items() if name not in people}


def _refuse_blocked(tx: Connection, subjects: Sequence[bytes], severity: int, day: date) -> None:
    if not subjects or severity >= URGENT:  # danger is heard from anybody
        return
    entry = tx.execute(
        select(intake_exception.c.reason, intake_exception.c.until)
        .where(*_in_force("blocked", subjects), intake_exception.c.until >= day)
        .limit(1)
    ).first()
    if entry is not None:
        raise errors.CallerBlocked(reason=entry.reason, until=entry.until.isoformat())


def _check_promise(tx: Connection, subjects: Sequence[bytes], promise: Promise, day: date) -> None:
    if not subjects:
        raise errors.Malformed("承诺补交需登记联系电话", "A promise needs a telephone number", field="commitment")
    if not day <= promise.until <= day + timedelta(days=PROMISE_DAYS):
        raise errors.Malformed(
            f"承诺期限须在今后 {PROMISE_DAYS} 日内",
            f"A promise is for one of the next {PROMISE_DAYS} days",
            field="commitment",
            until=promise.until.isoformat(),
        )
    broken = tx.execute(
        select(intake_exception.c.until)
        .where(*_in_force("commitment", subjects), intake_exception.c.until < day)
        .order_by(intake_exception.c.until)
        .limit(1)
    ).scalar()
    if broken is not None:
        raise errors.CommitmentBroken(since=broken.isoformat())


def _in_force(kind: str, subjects: Sequence[bytes]) -> tuple[Any, ...]:
    return (
        intake_exception.c.kind == kind,
        intake_exception.c.subject.in_(list(subjects)),
        intake_exception.c.lifted_at.is_(None),
    )


def _write_promise(tx: Connection, case_id: UUID, told: Told, caller: Caller, at: datetime) -> None:
    assert told.until is not None
    missing = "、".join(told.promised)
    tx.execute(
        insert(case_task).values(
            case_id=case_id,
            id=uuid4(),
            kind="commitment",
            department_code=caller.department[0] or None,
            note=missing,
            due_at=datetime.combine(told.until + timedelta(days=1), time(), ZONE),
            opened_seq=1,
            opened_at=at,
        )
    )
    subjects = {who for _, who in told.people.values() if who is not None}
    tx.execute(
        insert(intake_exception),
        [
            {
                "id": uuid4(),
                "kind": "commitment",
                "subject": who,
                "case_id": case_id,
                "reason": missing,
                "until": told.until,
                "by_id": caller.id,
                "by": caller.name,
            }
            for who in subjects
        ],
    )
