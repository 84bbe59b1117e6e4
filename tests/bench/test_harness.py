"""The harness itself: what it writes and what it throws."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from gis.settings import settings
from tests.bench import run
from tests.bench.harness import Bench, Figure, at_least, best, scatter


def test_a_figure_is_written_as_the_design_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANGGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCALE", "0.1")
    monkeypatch.delenv("ONLY", raising=False)
    settings.cache_clear()

    def broken(bench: Bench) -> Figure:
        raise RuntimeError(f"at scale {bench.scale}")

    figures = {
        "one": lambda bench: at_least("one", bench.scaled(50_000), 1000.0, "rows/s", 4),
        "broken": broken,
        "two": lambda _: [
            at_least("two", 1.0, 2.0, "rows/s", 1),
            Figure("three", 3, 30, "ms", 0.1, "p95 <= 10 ms", True),
        ],
    }
    monkeypatch.setattr(run, "FIGURES", figures)
    assert run.main() == 1
    records = json.loads((tmp_path / "home" / "bench.json").read_text(encoding="utf-8"))
    settings.cache_clear()
    assert [record["name"] for record in records] == ["one", "two", "three"]
    assert records[0] == {
        "name": "one",
        "ours": 5000,
        "reference": 1000.0,
        "unit": "rows/s",
        "ratio": 5.0,
        "goal": "ratio >= 4",
    }
    assert "met" in run.line(figures["one"](Bench(str)))
    assert "MISSED" in run.line(figures["two"](Bench(str))[0])


def test_an_unknown_figure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLY", "speed_of_light")
    assert run.main() == 2


def test_points_lie_as_promised() -> None:
    bounds = (116.6, 40.0, 116.7, 40.1)
    lines = np.array([shapely.LineString([(116.6, 40.05), (116.7, 40.05)])])
    lon, lat = scatter(10_000, bounds, lines)
    again = scatter(10_000, bounds, lines)
    assert (lon == again[0]).all()
    assert (lat == again[1]).all()
    away = np.abs(lat - 40.05)
    assert 0.25 < (away < 0.00015).mean() < 0.40  # the streets, some of the hot spots
    assert 0.80 < (away < 0.004).mean() < 0.88
    assert len(lon) == 10_000


def test_the_fastest_run_counts() -> None:
    answers = iter([1, 2, 3])
    seconds, answer = best(3, lambda: next(answers))
    assert answer == 3
    assert 0 <= seconds < 1
