"""Mapping files: what one source's columns mean. Knows the mapping's form and checks it; knows no file and no table.

A new schema costs one mapping file. Every scalar is read as text, so ``0104`` stays a code and never becomes a number.
"""

import re
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from string import Formatter
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from gis import errors

KINDS = ("components", "grids", "cases")
ANY_OTHER = "*"
"""Key of a value map that stands for every value not named."""

_FIELDS: dict[str, frozenset[str]] = {
    "components": frozenset(
        [
            "name",
            "state",
            "surveyed_on",
            "changed_on",
            "competent_unit",
            "owner_unit",
            "maintenance_unit",
            "accuracy_class",
            "unit_grid_code",
        ]
    ),
    "grids": frozenset(["code", "village_code", "area_class", "land_use", "duty_grid_code", "valid_from"]),
    "cases": frozenset(
        ["channel", "occurred_at", "reported_at", "closed_at", "status", "address", "severity", "component_code"]
    ),
}
DATES = frozenset(["surveyed_on", "changed_on", "valid_from", "occurred_at", "reported_at", "closed_at"])
"""Fields that hold a date or a time."""
_ALLOWED = {
    "state": ("intact", "damaged", "lost", "abandoned", "removed"),
    "accuracy_class": ("A", "B", "C"),
    "area_class": ("A", "B", "C"),
    "channel": ("patrol", "public", "hotline", "video", "superior", "sensor", "leader"),
    "status": ("open", "closed"),
    "severity": ("1", "2", "3"),
}
_TOP = frozenset(
    [
        "kind",
        "source",
        "name",
        "crs",
        "encoding",
        "delimiter",
        "sheet",
        "layer",
        "geometry",
        "declared_point",
        "identifier",
        "category",
        "na",
        "fields",
        "properties",
        "time_zone",
        "description",
    ]
)
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")


@dataclass(frozen=True)
class FieldRule:
    """How one field is filled: the first of ``columns`` the file has, through ``values``; or one ``constant``."""

    key: str
    columns: tuple[str, ...] = ()
    values: MappingOf[str, str] = field(default_factory=dict)
    default: str | None = None
    constant: str | None = None
    formats: tuple[str, ...] = ()
    missing: frozenset[date] = frozenset()
    required: bool = False


@dataclass(frozen=True)
class GeometryRule:
    """Where the geometry is: two columns (x east, y north), one WKT column, or the file's own."""

    x: tuple[str, ...] = ()
    y: tuple[str, ...] = ()
    wkt: tuple[str, ...] = ()
    own: bool = False


@dataclass(frozen=True)
class CategoryRule:
    """Which category a row is of. Without ``catalogue`` a code that differs between catalogues is ambiguous."""

    kind: str
    catalogue: str | None
    code: FieldRule
    name: FieldRule | None = None


@dataclass(frozen=True)
class Mapping:
    """A checked mapping file."""

    kind: str
    source: str
    name: MappingOf[str, str]
    crs: str
    geometry: GeometryRule
    declared_point: GeometryRule | None
    declared_tolerance_m: float
    identifier: FieldRule | None
    coded: bool
    """The identifier is a 16-digit component code; otherwise codes are assigned and the identifier is kept."""
    category: CategoryRule | None
    na: frozenset[str]
    fields: MappingOf[str, FieldRule]
    properties: tuple[str, ...] | None
    """Columns kept as properties; None keeps every column that has no other use."""
    time_zone: str
    description: str
    encoding: str | None = None
    delimiter: str = ","
    sheet: str | None = None
    layer: str | None = None


def load(named: str, folder: Path, *, paths: bool = False) -> Mapping:
    """A mapping by the name of a file in ``folder``, from YAML text, or with ``paths`` by file path.

    Raises ``MappingBad``.
    """
    text = named
    if "\n" not in named:
        known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
        path = known.get(named) or (Path(named) if paths else None)
        if path is None or not path.is_file():
            raise _bad("mapping", f"没有这个映射文件：{named}", f"no such mapping: {named}; known: {', '.join(known)}")
        text = path.read_text(encoding="utf-8")
    return parse(text)


def parse(text: str) -> Mapping:
    """A mapping from YAML text, checked completely. Raises ``MappingBad`` naming the key."""
    try:
        body = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise _bad("", "不是有效的 YAML", f"not valid YAML: {error}") from error
    if not isinstance(body, dict):
        raise _bad("", "顶层应为键值", "the top level must be keys and values")
    _known_keys("", body, _TOP)
    kind = _choice("kind", body.get("kind"), KINDS)
    source = _text("source", body.get("source"))
    if not _NAME.match(source):
        raise _bad("source", "只能用字母、数字、点、横线和下划线", "letters, digits, dot, dash and underscore only")
    declared = body.get("declared_point")
    identifier, coded = _identifier(body.get("identifier"), kind)
    category = _category(body.get("category"), kind, coded)
    mapping = Mapping(
        kind=kind,
        source=source,
        name=_names(body.get("name"), source),
        crs=_text("crs", body.get("crs")),
        geometry=_geometry("geometry", body.get("geometry")),
        declared_point=_geometry("declared_point", declared, extra={"tolerance_m"}) if declared else None,
        declared_tolerance_m=_number("declared_point.tolerance_m", (declared or {}).get("tolerance_m", "1")),
        identifier=identifier,
        coded=coded,
        category=category,
        na=frozenset(value.strip() for value in _texts("na", body.get("na", []))) | {""},
        fields=_fields(body.get("fields", {}), kind),
        properties=_properties(body.get("properties", [])),
        time_zone=_zone(body.get("time_zone", "Asia/Shanghai")),
        description=_template(body.get("description", "")),
        encoding=body.get("encoding") or None,
        delimiter=body.get("delimiter", ","),
        sheet=body.get("sheet") or None,
        layer=body.get("layer") or None,
    )
    for key in {"grids": ("code",), "cases": ("reported_at",)}.get(kind, ()):
        if key not in mapping.fields:
            raise _bad(f"fields.{key}", "缺少必填字段", "this field must be mapped")
    return mapping


def template_columns(template: str) -> list[str]:
    """The columns a description template names."""
    return [name for _, name, _, _ in Formatter().parse(template) if name]


def _bad(key: str, zh: str, en: str) -> errors.Problem:
    return errors.MappingBad(
        zh=f"映射文件有误：{key}：{zh}" if key else f"映射文件有误：{zh}",
        en=f"The mapping file is not valid: {key}: {en}" if key else f"The mapping file is not valid: {en}",
        key=key,
        why=en,
    )


def _known_keys(where: str, body: dict[str, Any], allowed: frozenset[str] | set[str]) -> None:
    for key in body:
        if key not in allowed:
            dotted = f"{where}.{key}" if where else str(key)
            raise _bad(dotted, "没有这个键", f"unknown key; known: {', '.join(sorted(allowed))}")


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _bad(key, "缺少内容", "a value is needed")
    return value.strip()


def _texts(key: str, value: object) -> tuple[str, ...]:
    """One text or a list of texts."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _bad(key, "应为文本或文本列表", "must be a text or a list of texts")
    return tuple(value)


def _choice(key: str, value: object, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise _bad(key, f"应为 {'、'.join(allowed)} 之一", f"must be one of {', '.join(allowed)}, not {value!r}")
    return str(value)


def _number(key: str, value: object) -> float:
    try:
        return float(str(value))
    except ValueError as error:
        raise _bad(key, "应为数字", f"must be a number, not {value!r}") from error


def _table(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _bad(key, "应为键值", "must be keys and values")
    return value


def _names(value: object, source: str) -> dict[str, str]:
    if value is None:
        return {"zh": source, "en": source}
    table = _table("name", value)
    return {language: _text(f"name.{language}", table.get(language)) for language in ("zh", "en")}


def _zone(value: object) -> str:
    name = _text("time_zone", value)
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise _bad("time_zone", f"没有这个时区：{name}", f"no such time zone: {name}") from error
    return name


def _template(value: object) -> str:
    if not isinstance(value, str):
        raise _bad("description", "应为文本", "must be a text")
    try:
        parsed = list(Formatter().parse(value))
    except ValueError as error:
        raise _bad("description", "花括号不成对", str(error)) from error
    if any(spec or conversion for _, _, spec, conversion in parsed):
        raise _bad("description", "只能写 {列名}", "only {column} may stand in braces")
    return value


def _properties(value: object) -> tuple[str, ...] | None:
    return None if value == ANY_OTHER else _texts("properties", value)


def _geometry(key: str, value: object, extra: frozenset[str] | set[str] = frozenset()) -> GeometryRule:
    if value == "file":
        return GeometryRule(own=True)
    table = _table(key, value)
    _known_keys(key, table, {"x", "y", "lon", "lat", "wkt", *extra})
    for x, y in (("x", "y"), ("lon", "lat")):
        if x in table or y in table:
            return GeometryRule(
                x=_texts(f"{key}.{x}", table.get(x)),
                y=_texts(f"{key}.{y}", table.get(y)),
            )
    if "wkt" in table:
        return GeometryRule(wkt=_texts(f"{key}.wkt", table["wkt"]))
    raise _bad(key, "应为 file、x 与 y、lon 与 lat 或 wkt", "must be `file`, or have x and y, lon and lat, or wkt")


def _identifier(value: object, kind: str) -> tuple[FieldRule | None, bool]:
    if kind == "grids":
        if value is not None:
            raise _bad("identifier", "网格用 fields.code", "grids are identified by fields.code")
        return None, False
    table = _table("identifier", value)
    _known_keys("identifier", table, {"column", "kind"})
    allowed = ("source", "component_code") if kind == "components" else ("source",)
    meaning = _choice("identifier.kind", table.get("kind", "source"), allowed)
    columns = _texts("identifier.column", table.get("column"))
    return FieldRule("identifier", columns=columns, required=True), meaning == "component_code"


def _category(value: object, kind: str, coded: bool) -> CategoryRule | None:
    if kind == "grids":
        if value is not None:
            raise _bad("category", "网格没有类别", "grids have no category")
        return None
    if value is None and coded:  # digits 7 to 10 of the component code say it
        return CategoryRule("component", None, FieldRule("category"))
    table = _table("category", value)
    _known_keys("category", table, {"catalogue", "kind", "column", "values", "constant", "name_column"})
    of = _choice("category.kind", table.get("kind", "component"), ("component", "event"))
    if kind == "components" and of != "component":
        raise _bad("category.kind", "部件只能用部件类别", "components can only be of a component category")
    said = {key: table[key] for key in ("column", "values", "constant") if key in table}
    rule = _rule("category", said) if said or not coded else FieldRule("category")
    for name, code in [
        *((f"category.values.{k}", v) for k, v in rule.values.items()),
        ("category.constant", rule.constant),
    ]:
        if code is not None and not re.fullmatch(r"[0-9]{4}", code):
            raise _bad(name, f"类别代码应为四位数字：{code}", f"a category code has four digits, not {code!r}")
    named = table.get("name_column")
    return CategoryRule(
        kind=of,
        catalogue=table.get("catalogue") or None,
        code=rule,
        name=FieldRule("category_name", columns=_texts("category.name_column", named)) if named else None,
    )


def _fields(value: object, kind: str) -> dict[str, FieldRule]:
    table = _table("fields", value)
    _known_keys("fields", table, _FIELDS[kind])
    return {key: _rule(key, rule, f"fields.{key}") for key, rule in table.items()}


def _rule(key: str, value: object, where: str | None = None) -> FieldRule:
    where = where or key
    if isinstance(value, str):
        value = {"column": value}
    table = _table(where, value)
    _known_keys(where, table, {"column", "values", "default", "constant", "formats", "missing", "required"})
    if ("column" in table) == ("constant" in table):
        raise _bad(where, "column 与 constant 二选一", "give either column or constant")
    values = table.get("values", {})
    if not isinstance(values, dict) or not all(isinstance(item, str) for item in values.values()):
        raise _bad(f"{where}.values", "应为 原值: 新值", "must be `value in the file: value meant`")
    rule = FieldRule(
        key=key,
        columns=_texts(f"{where}.column", table["column"]) if "column" in table else (),
        values={str(name).strip(): meant for name, meant in values.items()},
        default=table.get("default"),
        constant=table.get("constant"),
        formats=_texts(f"{where}.formats", table.get("formats", [])),
        missing=frozenset(
            _date(f"{where}.missing", item) for item in _texts(f"{where}.missing", table.get("missing", []))
        ),
        required=_choice(f"{where}.required", table.get("required", "false"), ("true", "false")) == "true",
    )
    if (rule.formats or rule.missing) and key not in DATES:
        raise _bad(where, "只有日期字段可写 formats 与 missing", "only date fields have formats and missing")
    for allowed in [_ALLOWED[key]] if key in _ALLOWED else []:
        for meant in [*rule.values.values(), rule.default, rule.constant]:
            if meant is not None:
                _choice(where, meant, allowed)
    return rule


def _date(key: str, value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise _bad(key, f"应为 YYYY-MM-DD：{value}", f"must be YYYY-MM-DD, not {value!r}") from error
