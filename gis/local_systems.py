"""Local coordinate systems (地方独立坐标系): fitted to control points, judged by their residuals.

A control point is known in both systems. The fit is least squares with equal weights, in coordinates reduced to the
points' middle. Helmert in the plane (4 parameters: a turn, one scale, two shifts) asks for two points, affine (6) for
three that lie on no line; each further one is a check. Formulas: any geodesy text, such as W. Torge, Geodesy, §5.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from gis import definitions, geometry
from gis.db import Connection
from gis.errors import DefinitionBad

Floats = npt.NDArray[np.float64]

KIND: Final = "coordinate_system"
PREFIX: Final = "local:"
"""Before the code of such a system where a coordinate system is named."""
LEAST: Final = {"helmert": 2, "affine": 3}
_WORST_TIMES: Final = 3.0


@dataclass(frozen=True)
class ControlPoint:
    """One point in both systems, metres: local (x east, y north) and EPSG:4548 (east, north)."""

    name: str
    x: float
    y: float
    east: float
    north: float


@dataclass(frozen=True)
class Residual:
    """What a fit leaves at one point, in metres: fitted minus given. ``used``: the point took part in the fit."""

    name: str
    east: float
    north: float
    used: bool

    @property
    def metres(self) -> float:
        """Its length."""
        return float(np.hypot(self.east, self.north))


@dataclass(frozen=True)
class Fit:
    """A fitted plane transformation: (east, north) = ``matrix`` · ((x, y) − ``middle``) + ``shift``."""

    method: str
    matrix: Floats
    middle: Floats
    shift: Floats
    redundancy: int

    def apply(self, x: Any, y: Any) -> tuple[Floats, Floats]:
        """Local metres as metres (east, north) of EPSG:4548."""
        local = np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)]) - self.middle[:, None]
        found = self.matrix @ local + self.shift[:, None]
        return found[0], found[1]

    @property
    def scale_ppm(self) -> float:
        """How much longer a length gets, in millionths: the root of the area's change."""
        return float((np.sqrt(abs(np.linalg.det(self.matrix))) - 1) * 1e6)

    @property
    def turn_seconds(self) -> float:
        """How far the axes turn, in seconds of arc, counter-clockwise."""
        return float(np.degrees(np.arctan2(self.matrix[1, 0], self.matrix[0, 0])) * 3600)


def fit(points: Sequence[ControlPoint], method: str) -> Fit:
    """The transformation that leaves the least squares. Raises ``DefinitionBad`` for too few points or a bad layout."""
    if method not in LEAST:
        raise DefinitionBad(where="method", why=f"must be one of {', '.join(LEAST)}, not {method}")
    if len(points) < LEAST[method]:
        raise DefinitionBad(
            f"控制点不足：{method} 至少要 {LEAST[method]} 个",
            f"Too few control points: {method} needs {LEAST[method]}",
            where="points",
            why=f"{len(points)} used of {LEAST[method]} needed",
        )
    local = np.array([(p.x, p.y) for p in points])
    given = np.array([(p.east, p.north) for p in points])
    middle, shift = local.mean(axis=0), given.mean(axis=0)
    from_middle, to_middle = local - middle, given - shift
    spread = np.linalg.svd(from_middle, compute_uv=False)
    needed = spread[0] if method == "helmert" else spread[1]
    if needed < 1.0 or (method == "affine" and spread[1] < 1e-3 * spread[0]):
        raise DefinitionBad(
            "控制点重合或共线，无法求解",
            "The control points coincide or lie on one line",
            where="points",
            why="the control points coincide or lie on one line",
        )
    if method == "helmert":
        x, y = from_middle.T
        design = np.concatenate([np.column_stack([x, -y]), np.column_stack([y, x])])
        (a, b), *_ = np.linalg.lstsq(design, np.concatenate([to_middle[:, 0], to_middle[:, 1]]), rcond=None)
        matrix = np.array([[a, -b], [b, a]])
    else:
        solved, *_ = np.linalg.lstsq(from_middle, to_middle, rcond=None)
        matrix = solved.T
    return Fit(method, matrix, middle, shift, 2 * (len(points) - LEAST[method]))


def residuals(found: Fit, points: Sequence[ControlPoint], used: Sequence[bool]) -> list[Residual]:
    """What the fit leaves at every point, also those that took no part."""
    east, north = found.apply([p.x for p in points], [p.y for p in points])
    return [
        Residual(p.name, float(e - p.east), float(n - p.north), u)
        for p, e, n, u in zip(points, east, north, used, strict=True)
    ]


def rms(left: Sequence[Residual]) -> float:
    """Root mean square of the residuals' lengths in metres, of the points used."""
    squares = [r.metres**2 for r in left if r.used]
    return float(np.sqrt(np.mean(squares))) if squares else 0.0


def outliers(points: Sequence[ControlPoint], method: str, tolerance_m: float) -> list[str]:
    """The points that the others contradict, the worst first.

    Each point is predicted from a fit of the others; the worst is named while it misses by more than ``tolerance_m``
    and three times the residuals of the fit without it, and enough points stay to check on each other.
    """
    left, named = list(points), []
    while len(left) > LEAST[method] + 1:
        misses = []
        for at, point in enumerate(left):
            others = left[:at] + left[at + 1 :]
            try:
                found = fit(others, method)
            except DefinitionBad:
                continue  # without this point there is no fit: nobody can contradict it
            miss = residuals(found, [point], [True])[0].metres
            rest = rms(residuals(found, others, [True] * len(others)))
            misses.append((rest, -miss, at, miss))
        if not misses:
            break
        # Leaving out the wrong point is what makes the others agree.
        rest, _, at, miss = min(misses)
        if miss <= max(tolerance_m, _WORST_TIMES * rest):
            break
        named.append(left.pop(at).name)
    return named


@dataclass(frozen=True)
class LocalSystem:
    """A local system as a town defines it: control points, the method, the tolerance of their residuals in metres."""

    code: str
    name: Mapping[str, str]
    method: str
    tolerance_m: float
    points: tuple[ControlPoint, ...]
    used: tuple[bool, ...]

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> "LocalSystem":
        """The checked system of a definition body; the points can be fitted. Raises ``DefinitionBad``."""
        points, used, names = [], [], set()
        for index, raw in enumerate(body["points"]):
            where = f"points[{index}]"
            try:
                point = ControlPoint(str(raw["name"]), *(float(raw[key]) for key in ("x", "y", "east", "north")))
            except (KeyError, TypeError, ValueError) as error:
                raise DefinitionBad(where=where, why=f"needs name, x, y, east, north as numbers: {error}") from error
            if point.name in names or not point.name.strip():
                raise DefinitionBad(where=where, why=f"names are needed and used once: {point.name!r}")
            if not np.isfinite([point.x, point.y, point.east, point.north]).all():
                raise DefinitionBad(where=where, why="coordinates must be finite")
            names.add(point.name)
            points.append(point)
            used.append(bool(raw.get("use", True)))
        tolerance = float(body.get("tolerance_m", 0.1))
        if not 0 < tolerance <= 100:
            raise DefinitionBad(where="tolerance_m", why=f"must lie in (0, 100], not {tolerance}")
        made = cls(
            str(body["code"]), body["name"], str(body.get("method", "helmert")), tolerance, tuple(points), tuple(used)
        )
        assert made.fit  # raises where there is none
        return made

    @cached_property
    def fit(self) -> Fit:
        """The fit over the points in use."""
        return fit([p for p, u in zip(self.points, self.used, strict=True) if u], self.method)

    def to_4490(self, x: Any, y: Any) -> tuple[Floats, Floats]:
        """Local metres (x east, y north) as EPSG:4490 degrees."""
        return geometry.to_4490(*self.fit.apply(x, y), geometry.METRIC)

    def report(self) -> dict[str, Any]:
        """The residual report: ``{method, redundancy, rms_m, unit_weight_m, scale_ppm, turn_seconds, points, outliers,
        within, swapped}``; ``unit_weight_m`` is None and ``within`` says little where nothing is left over to check.
        ``swapped``: with the local axes exchanged the points would fit.
        """
        left = residuals(self.fit, self.points, self.used)
        squares = sum(r.metres**2 for r in left if r.used)
        spare = self.fit.redundancy
        chosen = [p for p, u in zip(self.points, self.used, strict=True) if u]
        return {
            "method": self.method,
            "redundancy": spare,
            "rms_m": rms(left),
            "unit_weight_m": float(np.sqrt(squares / spare)) if spare else None,
            "scale_ppm": self.fit.scale_ppm,
            "turn_seconds": self.fit.turn_seconds,
            "points": [
                {"name": r.name, "east_m": r.east, "north_m": r.north, "metres": r.metres, "used": r.used} for r in left
            ],
            "outliers": outliers(chosen, self.method, self.tolerance_m),
            "within": all(r.metres <= self.tolerance_m for r in left if r.used),
            "swapped": self._fits_swapped(chosen, rms(left)),
        }

    def _fits_swapped(self, chosen: Sequence[ControlPoint], as_given: float) -> bool:
        # An affine fit turns and mirrors as it must; only Helmert is blind to exchanged axes.
        if self.method != "helmert" or as_given <= self.tolerance_m or not self.fit.redundancy:
            return False
        turned = [ControlPoint(p.name, p.y, p.x, p.east, p.north) for p in chosen]
        found = fit(turned, self.method)
        return rms(residuals(found, turned, [True] * len(turned))) < as_given / 10


def in_force(tx: Connection) -> dict[str, LocalSystem]:
    """The town's local systems, by code."""
    return {found.code: found.parsed for found in definitions.currents(tx, KIND)}
