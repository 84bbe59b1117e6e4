"""Puts the synthetic town and the definitions into the database, with progress. Knows no servers and no commands."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from gis import db, rulebook
from gis.settings import Settings
from gis.town import build
from gis.town_load import is_loaded, load
from gis.town_spec import read_spec


def load_demo_town(here: Settings, console: Console, *, small: bool = False) -> bool:
    """Load definitions and the demo town through the schema's owner; False when it was there already.

    Raises TownExists over any other town.
    """
    assert here.database_url
    # No statement timeout: a slow disk may take its time over 100,000 rows.
    engine = db.make_engine(here.owner_database_url or here.database_url, pool_size=1, statement_timeout_s=0)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    spec = read_spec(small=small)
    try:
        with db.transaction(engine) as tx:
            rulebook.load_files(tx, here.data_dir)
            if is_loaded(tx, spec):
                console.print(f"{spec.body['town']['name']} (synthetic) is loaded already", markup=False)
                return False
        with Progress(*columns, console=console, transient=True) as bar:
            drawing = bar.add_task("drawing the synthetic town", total=1)
            town = build(spec)
            bar.update(drawing, completed=1)
            tasks: dict[str, TaskID] = {}

            def show(table: str, done: int, total: int) -> None:
                if table not in tasks:
                    tasks[table] = bar.add_task(table, total=total)
                bar.update(tasks[table], completed=done)

            with db.transaction(engine) as tx:
                load(tx, town, show)
                rulebook.check_names(tx)
    finally:
        engine.dispose()
    console.print(
        f"{town.name} {town.code} (synthetic, seed {town.seed}): {len(town.unit_grids):,} unit grids,"
        f" {len(town.components):,} components, digest {town.digest[:16]}…",
        markup=False,
    )
    return True
