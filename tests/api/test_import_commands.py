"""`wangge import …`: what a person sees, and what it leaves behind."""

import csv
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook
from sqlalchemy import func, select
from typer.testing import CliRunner

from api.cli import app
from gis import db, definitions, drafts
from gis.tables import component, survey, unit_grid

MAPPING = """
kind: components
source: trial
crs: {crs}
geometry: {{x: x, y: y}}
identifier: {{column: id}}
category: {{catalogue: cjt214-2007, constant: 0104}}
"""


@pytest.fixture
def census(database: Any, tmp_path: Path) -> Path:
    """30 places in grids of the town, one of them (0,0), and a mapping beside them."""
    point = func.ST_PointOnSurface(unit_grid.c.geom)
    with db.transaction(database.engine) as tx:
        found = tx.execute(select(func.ST_X(point), func.ST_Y(point)).order_by(unit_grid.c.code).limit(30)).all()
    path = tmp_path / "census.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "x", "y"])
        writer.writerows([at, *(place if at else (0, 0))] for at, place in enumerate(found))
    (tmp_path / "m.yaml").write_text(MAPPING.format(crs="EPSG:4490"))
    return path


def landed(database: Any) -> int:
    with db.transaction(database.engine) as tx:
        rows = select(func.count()).join_from(component, survey).where(survey.c.name == "trial")
        return int(tx.execute(rows).scalar_one())


def wangge(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_counts_and_the_error_file_are_said(database: Any, census: Path) -> None:
    mapping = census.with_name("m.yaml")
    done = wangge("import", "components", census, "--mapping", mapping)
    assert done.exit_code == 0, done.output
    assert "read 30, new 29, updated 0, unchanged 0, refused 1" in done.output
    assert "null_island 1" in done.output
    named = census.with_name("census.csv.errors.csv").read_text(encoding="utf-8-sig").splitlines()
    assert named[1].startswith("2,0,null_island,")
    assert landed(database) == 29
    assert "unchanged 29" in wangge("import", "components", census, "--mapping", mapping).output


def test_a_file_that_lies_elsewhere_leaves_nothing(database: Any, census: Path) -> None:
    mapping = census.with_name("m.yaml")
    mapping.write_text(MAPPING.format(crs="EPSG:4548"))
    refused = wangge("import", "components", census, "--mapping", mapping, "--errors", census.with_name("e.csv"))
    assert refused.exit_code == 1
    assert "outside the town: 29 of 29 (declared EPSG:4548); it looks like EPSG:4490" in refused.output
    assert "导入被整体拒绝" in refused.output
    assert landed(database) == 0


def test_too_many_refused_rows_name_the_error_file(database: Any, census: Path) -> None:
    errors_to = census.with_name("e.csv")
    mapping = census.with_name("m.yaml")
    arguments = ("import", "components", census, "--mapping", mapping, "--errors", errors_to, "--max-refused", 0)
    refused = wangge(*arguments)
    assert refused.exit_code == 1
    assert str(errors_to) in refused.output
    assert errors_to.exists()
    assert landed(database) == 0


def test_a_town_is_drawn_only_where_there_is_none(database: Any, census: Path) -> None:
    refused = wangge("town", "init", "--around", census, "--mapping", census.with_name("m.yaml"))
    assert refused.exit_code == 1
    assert "There is a town already" in str(refused.exception)


def test_a_citys_standard_becomes_a_draft_or_the_version_in_force(database: Any, tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    sheet.title = "部件"
    sheet.append(["小类代码", "小类名称", "立案条件", "结案条件", "处置时限"])
    sheet.append(["0101", "上水井盖", "丢失", "补装", "2紧急工作时"])
    sheet.append(["", "", "松动", "加固", "尽快"])
    file = tmp_path / "标准.xlsx"
    book.save(file)

    def draft() -> Any:
        with db.transaction(database.engine) as tx:
            return drafts.get(tx, "filing_standard", "renhe-demo")

    done = wangge("import", "standard", file)
    assert done.exit_code == 0, done.output
    assert "部件 row 3, 处置时限 '尽快'" in done.output
    assert "1 rows landed, 1 refused" in done.output
    assert "the draft, revision 1" in done.output
    begun = draft()
    assert [row[1] for row in begun["body"]["conditions"]["component"]["0101"]] == ["丢失"]
    # Somebody may be at work on it: a draft is only replaced by who says so.
    again = wangge("import", "standard", file)
    assert (again.exit_code, draft()["revision"]) == (1, 1)
    assert "revision 2" in wangge("import", "standard", file, "--replace-draft").output
    assert "version 2 is in force" in wangge("import", "standard", file, "--publish", "--note", "新标准").output
    with db.transaction(database.engine) as tx:
        newest = definitions.versions(tx, "filing_standard", "renhe-demo")[0]
        assert (newest["version"], newest["state"], newest["note"]) == (2, "in_force", "新标准")
        assert definitions.current(tx, "filing_standard").parsed.condition("component", "0101").text == "丢失"
