"""The command line `wangge`. Knows which command calls what; knows nothing of how it is done."""

import os
import sys
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from api import doctor as examination
from api import up as supervision
from api.servers import Trouble
from gis.errors import Problem
from gis.settings import settings

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
                name = "".join(f"WANGGE_{part}".upper() for part in each["loc"])
                typer.echo(f"wangge: setting {name} {each['msg']}".replace("  ", " "), err=True)
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


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    with supervision.database(console) as here:
        assert here.database_url
        supervision.migrate(here.owner_database_url or here.database_url, here.database_url)
        console.print("the schema is up to date")
