"""`make bench`: one line per figure, and WANGGE_HOME/bench.json.

ONLY=name runs one figure, SCALE=0.1 makes the sizes smaller. A figure that fails stops nothing but is told at the end.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable

from rich.console import Console

from gis.settings import settings
from tests.bench import census_import, cluster_tile, intake_http, list_filtered, routing_bulk, track_intake
from tests.bench.harness import Bench, Figure

# Each figure: its name, and what measures it. A measurement may answer with several figures, the first named so.
FIGURES: dict[str, Callable[[Bench], Figure | Iterable[Figure]]] = {
    routing_bulk.NAME: routing_bulk.run,
    intake_http.NAME: intake_http.run,
    census_import.NAME: census_import.run,
    list_filtered.NAME: list_filtered.run,
    cluster_tile.NAME: cluster_tile.run,
    track_intake.NAME: track_intake.run,
}


def main() -> int:
    """0 when every figure could be measured, whether its goal was met or not."""
    console, progress = Console(soft_wrap=True), Console(stderr=True, style="dim", soft_wrap=True)
    only = os.environ.get("ONLY") or ""
    if only and only not in FIGURES:
        console.print(f"no figure {only}; there are {', '.join(FIGURES)}")
        return 2
    done: list[Figure] = []
    failed: list[str] = []
    with Bench(progress.print) as bench:
        for name, measure in FIGURES.items():
            if only in ("", name):
                try:
                    found = measure(bench)
                except Exception:
                    traceback.print_exc()
                    failed.append(name)
                    continue
                figures = [found] if isinstance(found, Figure) else list(found)
                for figure in figures:
                    console.print(line(figure))
                done += figures
    home = settings().home
    home.mkdir(parents=True, exist_ok=True)
    records = [figure.record() for figure in done]
    (home / "bench.json").write_text(json.dumps(records, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    for name in failed:
        console.print(f"{name}: FAILED")
    return 1 if failed else 0


def line(figure: Figure) -> str:
    """One figure for people."""
    verdict = "met" if figure.met else "MISSED"
    return (
        f"{figure.name:<16} {figure.ours:>14,.4g} {figure.unit}, reference {figure.reference:,.4g},"
        f" ratio {figure.ratio:.3g} (goal {figure.goal}: {verdict})"
    )


if __name__ == "__main__":
    sys.exit(main())
