"""The loop beside the API."""

from threading import Event

import pytest
from structlog.testing import capture_logs

from api import background, relay
from gis import deadlines, events, grid_drafts, patrol, workflow_moves


@pytest.mark.parametrize("broken", [False, True])
def test_every_stage_runs_whatever_becomes_of_the_others(client, monkeypatch, broken):
    ran, stop = [], Event()

    def noted(name, told):
        def work(*_args):
            ran.append(name)
            if broken:
                raise RuntimeError(name)
            return told

        return work

    for module, name in (
        *((events, "take"), (workflow_moves, "due"), (deadlines, "mark_overdue"), (deadlines, "wake")),
        *((events, "close_days"), (grid_drafts, "take"), (background, "requeue"), (patrol, "stale")),
        *((patrol, "coarsen"), (patrol, "drop")),
    ):
        monkeypatch.setattr(module, name, noted(f"{module.__name__}.{name}", [] if name in ("due", "stale") else 0))

    def last():
        ran.append("sweep")
        stop.set()

    monkeypatch.setattr(background, "sweep", last)
    with capture_logs() as logged:
        relay.run(stop)
    assert ran == [
        *("gis.events.take", "gis.workflow_moves.due", "gis.deadlines.mark_overdue", "gis.deadlines.wake"),
        *("gis.events.close_days", "gis.grid_drafts.take", "api.background.requeue", "gis.patrol.stale"),
        *("gis.patrol.coarsen", "gis.patrol.drop", "sweep"),
    ]
    failed = [entry["stage"] for entry in logged if entry["log_level"] == "error"]
    assert failed == ([stage.name for stage in relay.stages()[:-1]] if broken else [])


def test_a_stage_that_failed_is_tried_again_but_not_at_once():
    times = []
    stage = relay.Stage("broken", lambda: times.append(1) or 1 / 0)
    stage.run()
    stage.run()
    assert times == [1]
    stage.due = 0.0
    stage.run()
    assert times == [1, 1]
