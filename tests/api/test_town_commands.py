"""`wangge town load` and `wangge town verify`: what a person sees."""

from typing import Any

from sqlalchemy import text
from typer.testing import CliRunner

from api.cli import app
from gis import db
from gis.tables import metadata


def wangge(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_a_loaded_town_is_not_drawn_again_and_verified(database: Any) -> None:
    again = wangge("town", "load", "--small")
    assert again.exit_code == 0, again.output
    assert "loaded already" in again.output
    sound = wangge("town", "verify")
    assert sound.exit_code == 0, sound.output
    assert "tile 3 divisions exactly" in sound.output
    assert "as its seed gives" in sound.output


def test_another_town_and_a_changed_one_are_refused(database: Any) -> None:
    whole = wangge("town", "load")
    assert whole.exit_code != 0
    assert whole.exception is not None
    assert "town_exists" in str(whole.exception)
    with db.transaction(database.engine) as tx:
        tx.execute(text("update component set lat = lat + 0.001 where code = (select min(code) from component)"))
    changed = wangge("town", "verify")
    assert changed.exit_code != 0
    assert "town_differs" in str(changed.exception)


def test_an_empty_database_gets_its_town(database: Any) -> None:
    with db.transaction(database.engine) as tx:
        for name in (
            *("town", "shift", "staff_role", "token", "staff", "department", "component", "survey", "place"),
            *("basemap_feature", "duty_grid_member", "duty_grid", "unit_grid", "division"),
        ):
            tx.execute(metadata.tables[name].delete())
    missing = wangge("town", "verify")
    assert missing.exit_code != 0
    loaded = wangge("town", "load", "--small")
    assert loaded.exit_code == 0, loaded.output
    assert "synthetic" in loaded.output
    assert wangge("town", "verify").exit_code == 0
