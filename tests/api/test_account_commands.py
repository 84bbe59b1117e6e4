"""`wangge account …` and `wangge recompute`: what they do is in the audit, what is secret is not."""

from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select
from typer.testing import CliRunner

from api import simulate_past
from api.cli import app
from gis import backfill, db, people
from gis.tables import audit, measure_case


def wangge(*arguments: str, given: str = "") -> Any:
    done = CliRunner().invoke(app, list(arguments), input=given)
    assert done.exit_code == 0, done.output
    return done.output


def recorded() -> list[tuple[str, dict[str, Any]]]:
    with db.transaction() as tx:
        rows = tx.execute(select(audit.c.act, audit.c.detail).order_by(audit.c.id)).all()
    return [(row.act, row.detail) for row in rows]


def test_an_accounts_life_at_the_command_line_is_recorded(database: Any) -> None:
    new, other = "a long password", "another password"
    wangge("account", "add", "hotline1", "--department", "D01", "--role", "platform", given=f"{new}\n{new}\n")
    opaque = wangge("account", "token", "hotline1", "--label", "hotline").strip().splitlines()[-1]
    with db.transaction() as tx:
        assert people.by_token(tx, opaque).username == "hotline1"
    wangge("account", "password", "hotline1", given=f"{other}\n{other}\n")
    assert "1 tokens ended" in wangge("account", "revoke", "hotline1", "--label", "hotline")
    wangge("account", "off", "hotline1")
    lines = recorded()
    assert [act for act, _ in lines] == [f"account.{word}" for word in ("add", "token", "password", "revoke", "off")]
    assert {detail["username"] for _, detail in lines} == {"hotline1"}
    for secret in (new, other, opaque):
        assert secret not in str(lines)
    unknown = CliRunner().invoke(app, ["account", "off", "hotline1"])
    assert unknown.exit_code == 1


def test_statistics_are_built_anew_from_the_cases(database: Any, tmp_path: Path) -> None:
    with db.transaction() as tx:
        cast, now = backfill.gather(tx, tmp_path / "files"), tx.scalar(select(func.now()))
        for opening in backfill.plan(tx, 1, 2, 5, now):
            backfill.write(tx, cast, opening, simulate_past.Random(1), now)
        tx.execute(delete(measure_case))
    said = wangge("recompute")
    with db.transaction() as tx:
        counted = tx.scalar(select(func.count()).select_from(measure_case))
    assert counted > 0
    assert f"{counted:,} contributions" in said
    assert recorded()[-1] == ("statistics.recompute", {"contributions": counted, "patrol_days": 0})
