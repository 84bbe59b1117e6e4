"""Reads a town's parameter file into a checked mapping. Knows no geometry and no database."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gis.errors import DefinitionBad, Problem
from gis.settings import settings

SMALL_KEY = "small"


@dataclass(frozen=True)
class TownSpec:
    """Parameters of a synthetic town. ``body`` is the YAML mapping after the overlay of the small town, if asked."""

    name: str
    small: bool
    body: dict[str, Any]
    divisions: tuple[dict[str, str], ...]
    departments: tuple[dict[str, Any], ...]
    units: tuple[dict[str, str], ...]
    categories: tuple[tuple[str, str, str], ...]

    @property
    def code(self) -> str:
        """9-digit township code."""
        return str(self.body["town"]["code"])

    @property
    def seed(self) -> int:
        """Seed of every random choice; the small town has another one, so that the two never pass for each other."""
        return int(self.body["seed"]) + (1 if self.small else 0)

    def rng(self, stage: str) -> np.random.Generator:
        """The generator of one stage: a change in one stage leaves the dice of the others alone."""
        return np.random.default_rng([self.seed, *stage.encode()])

    @property
    def hearts(self) -> dict[str, tuple[float, float, float]]:
        """12-digit division code to plan x, y in metres and attraction."""
        return {str(k): (float(v[0]), float(v[1]), float(v[2])) for k, v in self.body["ground"]["hearts"].items()}

    def division(self, code: str) -> dict[str, str]:
        """The facts of one division; raises DefinitionBad when the list has no such code."""
        for row in self.divisions:
            if row["code12"] == code:
                return row
        raise DefinitionBad(file=f"towns/{self.name}.yaml", where="hearts", why=f"no division {code}")


def _overlay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``over`` wins; mappings merge one level down except where they list places, which are replaced whole."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict) and key not in ("hearts", "zones"):
            merged[key] = _overlay(merged[key], value)
        else:
            merged[key] = value
    return merged


def read_spec(name: str = "renhe", *, small: bool = False, data_dir: Path | None = None) -> TownSpec:
    """Read ``data/towns/<name>.yaml`` with its divisions, departments and component categories.

    Raises DefinitionBad when a file or a needed key is missing, or when the data does not call itself synthetic.
    """
    root = data_dir or settings().data_dir
    path = root / "towns" / f"{name}.yaml"
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
        over = body.pop(SMALL_KEY, {})
        if small:
            body = _overlay(body, over)
        if body.get("synthetic") is not True:
            raise DefinitionBad(file=path.name, where="synthetic", why="a generated town must call itself synthetic")
        with (root / "towns" / body["divisions"]).open(encoding="utf-8") as file:
            divisions = tuple(csv.DictReader(file))
        departments = yaml.safe_load((root / "departments" / f"{body['departments']}.yaml").read_text(encoding="utf-8"))
        catalogue = yaml.safe_load(
            (root / "catalogues" / f"{body['town']['catalogue']}.yaml").read_text(encoding="utf-8")
        )
    except (OSError, KeyError, yaml.YAMLError) as error:
        raise DefinitionBad(file=path.name, where="", why=str(error)) from error
    spec = TownSpec(
        name,
        small,
        body,
        divisions,
        tuple(departments["departments"]),
        tuple(departments["component_units"]),
        _categories(catalogue),
    )
    _check(spec)
    return spec


def _check(spec: TownSpec) -> None:
    """Raises DefinitionBad where the parameters name a use, way, division, category or unit that is not there."""

    def bad(where: str, why: str) -> Problem:
        return DefinitionBad(file=f"towns/{spec.name}.yaml", where=where, why=why)

    ground = spec.body["ground"]
    uses, ways = set(ground["uses"]), {*ground["road_width"], "canal", "bank"}
    for code in spec.hearts:
        spec.division(code)
    for zone, rule in ground["zone_use"].items():
        if zone not in ground["blocks_ha"] or not set(rule["use"]) <= uses:
            raise bad(f"zone_use.{zone}", f"unknown zone or use; uses are {sorted(uses)}")
    if not set(ground["buildings"]) <= uses:
        raise bad("buildings", f"unknown use {sorted(set(ground['buildings']) - uses)}")
    for kind, name, path in ground["roads"]:
        if kind not in ways or len(path) < 2:
            raise bad(f"roads {name}", f"unknown kind {kind} or too short a path")
    for code, name, _ in spec.categories:
        where = f"components.{code}"
        if not spec.body["components"].get(code):
            raise bad(where, f"no rule places {name}")
        if not any(code.startswith(unit["category"]) for unit in spec.units):
            raise bad(where, f"no department is the unit of {name}")
        for rule in spec.body["components"][code].values():
            named = {*rule.get("use", ()), *rule.get("not_use", ()), *rule.get("per_ha", ())}
            if not named <= uses:
                raise bad(where, f"unknown use {sorted(named - uses)}")
            if isinstance(rule.get("every"), dict) and not set(rule["every"]) <= ways:
                raise bad(where, f"unknown way {sorted(set(rule['every']) - ways)}")


def _categories(body: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Component categories as (code, name, geometry), by code."""
    rows = [c for g in body["groups"] if g["kind"] == "component" for c in g["categories"]]
    return tuple(sorted((c["code"], c["name"], c["geometry"]) for c in rows))
