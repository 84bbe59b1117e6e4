"""Puts the synthetic town and the definitions into the database, with progress. Knows no servers and no commands."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gis import db, rulebook
from gis.settings import Settings
from gis.town import demo_town
from gis.town_load import load


def load_demo_town(here: Settings, console: Console, *, small: bool = False) -> bool:
    """Load definitions and the demo town through the schema's owner; False when the very town was there already.

    Raises TownExists over any other town.
    """
    assert here.database_url
    # No statement timeout: a slow disk may take its time over 100,000 rows.
    engine = db.make_engine(here.owner_database_url or here.database_url, pool_size=1, statement_timeout_s=0)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True) as bar:
            drawing = bar.add_task("drawing the synthetic town", total=1)
            town = demo_town(small=small)
            bar.update(drawing, completed=1)
            tasks = {}

            def show(table: str, done: int, total: int) -> None:
                if table not in tasks:
                    tasks[table] = bar.add_task(table, total=total)
                bar.update(tasks[table], completed=done)

            with db.transaction(engine) as tx:
                rulebook.load_files(tx, here.data_dir)
                fresh = load(tx, town, show)
    finally:
        engine.dispose()
    console.print(
        f"{town.name} {town.code} (synthetic, seed {town.seed}) {'loaded' if fresh else 'is loaded already'}:"
        f" {len(town.unit_grids):,} unit grids, {len(town.components):,} components, digest {town.digest[:16]}…",
        markup=False,
    )
    return fresh
