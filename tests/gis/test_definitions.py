"""Definitions: an edited file is a further version, and the past keeps the version it had."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from gis import definitions, errors
from gis.rulebook import rulebook

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def body(number: int) -> dict:
    return {"kind": "case_kind", "code": "trial", "name": {"zh": "试", "en": "Trial"}, "workflow": f"w{number}"}


def in_force(tx, at: datetime) -> str:
    return definitions.current(tx, "case_kind", "trial", at).parsed.workflow


def test_an_edited_file_leaves_the_past_as_it_was(tx, tmp_path: Path):
    folder = tmp_path / "case_kinds"
    folder.mkdir()
    for number in (1, 2):
        text = yaml.safe_dump(body(number) | {"valid_from": "2020-01-01"}, allow_unicode=True)
        (folder / "trial.yaml").write_text(text, encoding="utf-8")
        assert definitions.load_files(tx, tmp_path)["case_kind/trial"] == number
    now = datetime.now(UTC)
    assert in_force(tx, now - timedelta(hours=1)) == "w1"
    assert in_force(tx, LONG_AGO) == "w1"
    assert in_force(tx, now + timedelta(minutes=1)) == "w2"
    assert rulebook(tx).case_kinds["trial"].workflow == "w2"


def test_a_version_may_be_announced(tx):
    soon = datetime.now(UTC) + timedelta(days=3)
    definitions.publish(tx, "case_kind", "trial", body(1), LONG_AGO)
    definitions.publish(tx, "case_kind", "trial", body(2), soon)
    assert in_force(tx, soon - timedelta(seconds=1)) == "w1"
    assert in_force(tx, soon) == "w2"


def test_the_same_body_is_the_same_version(tx):
    assert definitions.publish(tx, "case_kind", "trial", body(1), LONG_AGO) == 1
    assert definitions.publish(tx, "case_kind", "trial", body(1), LONG_AGO + timedelta(days=1)) == 1
    with pytest.raises(errors.DefinitionUnknown):
        definitions.version(tx, "case_kind", "trial", 2)
