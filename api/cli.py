"""The command line `wangge`. Knows which command calls what; knows nothing of how it is done."""

import getpass
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from api import doctor as examination
from api import up as supervision
from api.demo import load_demo_town
from api.servers import Trouble
from api.simulate import Plan
from api.simulate import run as run_simulation
from api.simulate_past import fill_past
from gis import accounts, db, definitions, drafts, imports, measures, patrol, people, rulebook, standard_sheet
from gis.errors import ImportRefused, Problem
from gis.people import SYSTEM
from gis.search import CaseFilter
from gis.settings import settings
from gis.sheet_names import Names
from gis.town_check import verify
from gis.town_plain import CODE as PLAIN_CODE
from gis.town_plain import NAME as PLAIN_NAME
from gis.town_plain import plain_town
from layers import folium_map

console = Console(soft_wrap=True)


class _App(typer.Typer):
    """Typer that answers an expected trouble with one line instead of a stack of frames."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().__call__(*arguments, **options)
        except (Trouble, Problem) as trouble:
            Console(stderr=True, soft_wrap=True).print(f"wangge: {trouble}", style="red", markup=False)
        except ValidationError as wrong:
            for each in wrong.errors():
                name = "".join(f"WANGGE_{part}: ".upper() for part in each["loc"])
                typer.echo(f"wangge: {name}{each['msg'].removeprefix('Value error, ')}", err=True)
        sys.exit(1)


app = _App(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Grid management and case dispatch.",
)


@app.command()
def up(demo: Annotated[bool, typer.Option(help="With the synthetic town and the simulator.")] = False) -> None:
    """Start the servers and the service, and stay until Ctrl-C."""
    if demo:
        os.environ["WANGGE_DEMO"] = "1"
        settings.cache_clear()
    supervision.up(console)


@app.command()
def stop() -> None:
    """Stop a running `wangge up`, or what a killed one left running."""
    supervision.stop(console)


@app.command()
def doctor() -> None:
    """Say in one page what is missing or wrong."""
    if not examination.examine(console):
        raise typer.Exit(1)


def _operator() -> str:
    """Who works at this command line."""
    return f"{getpass.getuser()} (wangge)"


def _record(tx: db.Connection, act: str, **detail: Any) -> None:
    """Put into the audit what was done at this command line."""
    people.record(tx, None, _operator(), act, "ok", detail)


@app.command()
def recompute() -> None:
    """Build all statistics anew from the cases, and what was patrolled from the positions."""
    with supervision.database(console) as here, console.status("recomputing"):
        patient = db.make_engine(here.database_url or "", pool_size=1, statement_timeout_s=0)
        try:
            with db.transaction(patient) as tx:
                counted, days = measures.recompute(tx), patrol.recompute(tx)
                _record(tx, "statistics.recompute", contributions=counted, patrol_days=days)
        finally:
            patient.dispose()
    console.print(f"{counted:,} contributions of cases to figures, {days:,} days of people on patrol", markup=False)


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    with supervision.database(console) as here:
        assert here.database_url
        supervision.migrate(here.owner_database_url or here.database_url, here.database_url)
        console.print("the schema is up to date")


imports_app = typer.Typer(no_args_is_help=True, help="Bring real files in: every row checked, all or nothing.")
town_app = typer.Typer(no_args_is_help=True, help="The town the data lies in.")
app.add_typer(imports_app, name="import")
app.add_typer(town_app, name="town")

_File = Annotated[Path, typer.Argument(help="CSV, Excel, Shapefile (.shp or .zip), GeoPackage or GeoJSON.")]
_Mapping = Annotated[str, typer.Option(help="A mapping file, or the name of one in data/mappings.")]
_Errors = Annotated[Path | None, typer.Option(help="The error file; default FILE.errors.csv beside it.")]
_Refused = Annotated[float | None, typer.Option(min=0, max=1, help="Share of bad rows that refuses the whole file.")]


@imports_app.command("components")
def import_components(
    file: _File, mapping: _Mapping = "census-cjt214", errors: _Errors = None, max_refused: _Refused = None
) -> None:
    """A component census into the register; the same file again changes nothing."""
    _import("components", file, mapping, errors, max_refused)


@imports_app.command("grids")
def import_grids(
    file: _File, mapping: _Mapping = "grids", errors: _Errors = None, max_refused: _Refused = None
) -> None:
    """Unit grids: codes and topology are checked as one set, and the villages they name get exactly these."""
    _import("grids", file, mapping, errors, max_refused)


@imports_app.command("cases")
def import_cases(file: _File, mapping: _Mapping, errors: _Errors = None, max_refused: _Refused = None) -> None:
    """Another system's cases, opened through the one write path; the same case again is the same case."""
    _import("cases", file, mapping, errors, max_refused)


@imports_app.command("standard")
def import_standard(
    file: Annotated[Path, typer.Argument(help="An Excel workbook (.xlsx) of conditions.", exists=True, dir_okay=False)],
    publish: Annotated[bool, typer.Option(help="Put it in force at once; else it becomes the draft.")] = False,
    replace_draft: Annotated[bool, typer.Option(help="Even if that throws away somebody's draft.")] = False,
    note: Annotated[str, typer.Option(help="Why, for the list of versions.")] = "",
) -> None:
    """A city's filing standard: every row lands or is named; categories the file lacks stay as they are."""
    kind = "filing_standard"
    with supervision.database(console), db.transaction() as tx:
        base = definitions.current(tx, kind)
        sheet = standard_sheet.read(file.read_bytes(), Names.load(tx, rulebook.rulebook(tx)), dict(base.body))
        body, kept = sheet.body(dict(base.body))
        newest = definitions.versions(tx, kind, base.code)[0]["version"]
        faults = rulebook.faults(tx, kind, base.code, body)
        if publish and not faults:
            number = rulebook.publish(tx, kind, base.code, body, _operator(), base=newest, note=note or file.name)
            became = f"version {number} is in force"
        else:
            draft = drafts.get(tx, kind, base.code) if replace_draft else None
            by = replace(SYSTEM, name=_operator())
            kept_as = drafts.save(tx, kind, base.code, body, draft["revision"] if draft else 0, by, newest)
            became = f"the draft, revision {kept_as['revision']}: look at it on the desk and publish it there"
        _record(tx, "definition.import", kind=kind, code=base.code, file=str(file), landed=len(sheet.landed))
    for refused in sheet.refused:
        place = f"{refused.sheet} row {refused.row}, {refused.column} {refused.value!r}"
        console.print(f"  {place}: {refused.zh} / {refused.en}", markup=False)
    for fault in faults:
        console.print(f"  {fault['where']}: {fault['why']}", markup=False)
    console.print(
        f"{file.name}: {len(sheet.landed):,} rows landed, {len(sheet.refused):,} refused, {len(kept):,} categories as"
        f" they were; {became}",
        markup=False,
    )
    if faults:
        raise typer.Exit(1)


def _import(kind: str, file: Path, mapping: str, errors_to: Path | None, max_refused: float | None) -> None:
    chosen = imports.mapping_named(mapping, paths=True)
    beside = file.parent if os.access(file.parent, os.W_OK) else Path()
    errors_to = errors_to or beside / f"{file.name}.errors.csv"
    errors_to.unlink(missing_ok=True)
    with supervision.database(console), Progress(console=console, transient=True) as bar:
        steps = {step: bar.add_task(step, total=1) for step in ("read", "check", "land")}
        try:
            # Apart from the import: a refused one is recorded too, and a transaction that has written holds up feeds.
            with db.transaction() as tx:
                _record(tx, "import.start", kind=kind, file=str(file), mapping=mapping)
            with db.transaction() as tx:
                outcome = imports.import_file(
                    tx,
                    kind,
                    file,
                    chosen,
                    max_refused=max_refused,
                    errors_to=errors_to,
                    progress=lambda step, done, total: bar.update(steps[step], completed=done, total=total),
                )
        except ImportRefused as refusal:
            console.print(f"{refusal.title_zh}\n{refusal.title_en}", style="red", markup=False)
            if errors_to.exists():
                console.print(f"every refused row: {errors_to}", markup=False)
            raise typer.Exit(1) from refusal
    counts = outcome.counts()
    by_code = counts.pop("refused_by_code")
    console.print(
        f"{outcome.file}: " + ", ".join(f"{word} {number:,}" for word, number in counts.items()), markup=False
    )
    for code, number in sorted(by_code.items(), key=lambda item: -item[1]):
        console.print(f"  {code} {number:,}", markup=False)
    if outcome.refused:
        console.print(f"every refused row: {errors_to} (and in the quarantine)", markup=False)


@town_app.command("load")
def town_load(
    small: Annotated[bool, typer.Option(help="Three villages instead of nineteen, for trials.")] = False,
) -> None:
    """Load the synthetic demo town and the definitions; loading it again changes nothing."""
    with supervision.database(console) as here:
        assert here.database_url
        supervision.migrate(here.owner_database_url or here.database_url, here.database_url)
        load_demo_town(here, console, small=small)


@town_app.command("verify")
def town_verify() -> None:
    """Check that the grids tile the town and that it is, to the last digit, what its seed gives."""
    with supervision.database(console), db.transaction() as tx:
        verdict = verify(tx)
    origin = f"as its seed gives, digest {verdict.digest}" if verdict.rebuilt else "of no seed: only tiling checked"
    console.print(
        f"{verdict.code}: {verdict.unit_grids:,} unit grids tile {verdict.divisions} divisions exactly;"
        f" {verdict.components:,} components; {origin}",
        markup=False,
    )


@town_app.command("init")
def town_init(
    around: Annotated[Path, typer.Option(help="A file whose data the town is drawn around.")],
    mapping: _Mapping,
    code: Annotated[str, typer.Option(help="9-digit code of the town.")] = PLAIN_CODE,
    name: Annotated[str, typer.Option(help="Name of the town.")] = PLAIN_NAME,
) -> None:
    """Draw a plain synthetic town around a file's data, so that the file can be imported into it."""
    bounds, rows = imports.data_extent(around, imports.mapping_named(mapping, paths=True))
    with supervision.database(console) as here:
        assert here.database_url
        supervision.migrate(here.owner_database_url or here.database_url, here.database_url)
        with db.transaction() as tx:
            drawn = plain_town(tx, bounds, code=code, name=name)
    console.print(
        f"{drawn.name} {drawn.code} (synthetic) around {rows:,} rows: {drawn.villages} villages,"
        f" {drawn.unit_grids:,} unit grids of {drawn.side_m:.0f} m, {' '.join(f'{d:.5f}' for d in drawn.bounds)}",
        markup=False,
    )


account_app = typer.Typer(no_args_is_help=True, help="Who may sign in.")
app.add_typer(account_app, name="account")


@account_app.command("add")
def account_add(
    username: str,
    department: Annotated[str, typer.Option(help="Code of the person's department.")],
    role: Annotated[list[str], typer.Option(help="role, or role:scope:code such as inspector:duty_grid:CODE; repeat.")],
    name: Annotated[str, typer.Option(help="The person's name; default the user name.")] = "",
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)] = "",
) -> None:
    """Take a person on; the password is asked for."""
    grants = [accounts.parse_grant(each) for each in role]
    with supervision.database(console), db.transaction() as tx:
        accounts.add(tx, username, name or username, department, password, grants)
        _record(tx, "account.add", username=username, department=department, roles=role)
    console.print(f"{username} may sign in", markup=False)


@account_app.command("token")
def account_token(
    username: str,
    label: Annotated[str, typer.Option(help="What it is for, such as the platform's name.")],
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it lives.")] = 365,
) -> None:
    """A token for a machine that acts as this account; it is printed once and kept nowhere."""
    with supervision.database(console), db.transaction() as tx:
        opaque = accounts.give_token(tx, username, label, timedelta(days=days))
        _record(tx, "account.token", username=username, label=label, days=days)
    typer.echo(opaque)


@account_app.command("revoke")
def account_revoke(
    username: str, label: Annotated[str | None, typer.Option(help="Only tokens with this label.")] = None
) -> None:
    """End an account's machine tokens; the service notices within seconds."""
    with supervision.database(console), db.transaction() as tx:
        ended = accounts.revoke_tokens(tx, username, label)
        _record(tx, "account.revoke", username=username, label=label, tokens=ended)
    console.print(f"{ended} tokens ended", markup=False)


@account_app.command("password")
def account_password(
    username: str,
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)] = "",
) -> None:
    """A new password, asked for; ends the account's sessions and its lock."""
    with supervision.database(console), db.transaction() as tx:
        accounts.set_password(tx, username, password)
        _record(tx, "account.password", username=username)
    console.print(f"{username} signs in with the new password", markup=False)


@account_app.command("off")
def account_off(username: str) -> None:
    """Nobody acts as this account any more; what it did stays under its name."""
    with supervision.database(console), db.transaction() as tx:
        accounts.switch_off(tx, username)
        _record(tx, "account.off", username=username)
    console.print(f"{username} is off", markup=False)


export_app = typer.Typer(no_args_is_help=True, help="Take things out, as files that need nothing else.")
app.add_typer(export_app, name="export")


@export_app.command("map")
def export_map(
    file: Path,
    only: Annotated[
        list[str] | None, typer.Option(help="A filter as in the API, such as category=event:05 or light=red; repeat.")
    ] = None,
    shade: Annotated[str, typer.Option(help="The measure villages and grids are shaded by.")] = "reported",
    language: Annotated[str, typer.Option(help="zh or en.")] = "zh",
) -> None:
    """A map of the cases as one HTML file that opens without a network."""
    wanted = CaseFilter.parse(dict(each.partition("=")[::2] for each in only or []))
    with supervision.database(console), db.transaction() as tx:
        markup = folium_map.case_map(tx, SYSTEM, wanted, datetime.now(UTC), shade, language)
        _record(tx, "export.map", filter=wanted.query())
    file.write_text(markup, encoding="utf-8")
    console.print(f"{file}: {file.stat().st_size / 1e6:.1f} MB", markup=False)


@app.command()
def simulate(
    url: Annotated[str, typer.Option(help="The service to play in; default the one of this installation.")] = "",
    speed: Annotated[str, typer.Option(help="How many times faster than people; or realtime.")] = "60",
    inspectors: Annotated[int, typer.Option(min=1)] = 40,
    citizens: Annotated[int, typer.Option(min=0)] = 30,
    rate: Annotated[float, typer.Option(min=0.001, help="Reports a second.")] = 0.33,
    duration: Annotated[float, typer.Option(min=0, help="Seconds; 0 until stopped.")] = 0.0,
    seed: int = 1,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Requests at the same time.")] = 12,
    backfill: Annotated[bool, typer.Option(help="Instead, give a town without cases a past.")] = False,
    days: Annotated[int, typer.Option(min=1, max=365, help="Of the past.")] = 30,
    cases: Annotated[int, typer.Option(min=1, max=100_000, help="Of the past.")] = 2500,
) -> None:
    """People at work: inspectors, citizens, desk and departments, through the public API. Everything is synthetic."""
    if backfill:
        with supervision.database(console):
            made = fill_past(console, days, cases, seed)
        console.print(f"{made} simulated cases" if made else "the town has cases already; it keeps what it has")
        return
    faster = 1.0 if speed == "realtime" else float(speed)
    run_simulation(
        Plan(
            url=url or supervision.address(),
            speed=faster,
            inspectors=inspectors,
            citizens=citizens,
            rate=rate,
            duration=duration,
            seed=seed,
            threads=threads,
        ),
        console,
    )
