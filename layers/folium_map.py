"""A map as one HTML file that opens without any network: to mail, to project, to keep. Knows how it is drawn.

Leaflet and its cluster plugin come from the built front-end (``layers/web/dist/folium``) and are written into the
file; ground, villages and grids are our own vectors; there are no tiles, fonts or images to fetch.

folium is loaded where a map is drawn: it brings 40 MB, pandas among them, that a process drawing tiles has no use for.
"""

import html
import json
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import h3

from gis import filter_words, register, search, shapes, statistics
from gis.db import Connection
from gis.errors import Unavailable
from gis.geometry import metres_per_degree
from gis.measures import MEASURES, measure
from gis.people import Caller
from gis.rulebook import flow_of, rulebook
from gis.search import ZONE, CaseFilter
from gis.settings import ROOT

if TYPE_CHECKING:
    import folium
    from branca.element import Element
    from folium.plugins import FastMarkerCluster

ASSETS = ROOT / "layers" / "web" / "dist" / "folium"
_SCRIPTS, _STYLES = ("leaflet.js", "leaflet.markercluster.js"), ("leaflet.css", "MarkerCluster.css")
#: More markers than this make the file heavy to mail and slow to open; the map says when it leaves some out.
MOST_CASES = 20_000

SHADES = ("#f2f5f9", "#cfe0f0", "#9cc3e0", "#5f9fcb", "#2f77ae", "#114f83")
#: Of heat: another scale, so that it is not taken for the measure.
HEATS = ("#ffffff", "#fee3b5", "#fdbb6b", "#f58634", "#d7491d", "#8f1f0d")
#: At most so many heat cells lie beside each other across the town.
_HEAT_ACROSS = 25
GROUND = {"green": "#dcebd5", "water": "#b5d7ee"}
ROADS = {"trunk": 4.0, "main": 3.0, "secondary": 2.2}
#: Colour is state, and each state also has a shape of its own.
LIGHTS = {"green": "#1a9850", "yellow": "#e0a100", "red": "#d73027", "none": "#7d8590"}

WORDS: dict[str, dict[str, Any]] = {
    "zh": {
        "cases": "案件",
        "villages": "村居",
        "grids": "单元网格",
        "heat": "热力（六边形）",
        "per_cell": "每个六边形案件数",
        "made": "生成时间",
        "filter": "筛选",
        "all": "全部案件",
        "omitted": "仅显示最新 {shown} 件，共 {total} 件",
        "shown": "共 {total} 件案件",
        "synthetic": "合成演示数据，并非真实地物与案件",
        "green": "时限内",
        "yellow": "临近超时",
        "red": "已超时",
        "none": "已结案或未计时",
        "facts": ["编号", "类别", "状态", "村居", "处置部门", "上报时间", "描述"],
    },
    "en": {
        "cases": "Cases",
        "villages": "Villages",
        "grids": "Unit grids",
        "heat": "Heat (h3 cells)",
        "per_cell": "Cases a cell",
        "made": "Made",
        "filter": "Filter",
        "all": "all cases",
        "omitted": "only the newest {shown} of {total} cases",
        "shown": "{total} cases",
        "synthetic": "Synthetic demo data: neither places nor cases are real",
        "green": "in time",
        "yellow": "soon due",
        "red": "late",
        "none": "closed or no clock",
        "facts": ["Number", "Category", "State", "Village", "Department", "Reported", "Description"],
    },
}


@dataclass(frozen=True)
class Sheet:
    """Everything that goes on the map. ``marks``: lat, lon, light, then the texts of ``WORDS[...]["facts"]``;
    ``bbox``: west, south, east, north in EPSG:4490 degrees; the features carry ``code``, ``name`` and ``value``.
    ``filter`` is in words, heading → names. ``cells`` are h3 cells; their ``value`` is the number of cases in each."""

    title: str
    bbox: tuple[float, float, float, float]
    ground: Sequence[Mapping[str, Any]]
    villages: Sequence[Mapping[str, Any]]
    grids: Sequence[Mapping[str, Any]]
    measure: str
    marks: Sequence[Sequence[Any]]
    total: int
    filter: Mapping[str, str]
    made_at: datetime
    synthetic: bool
    language: str = "zh"
    cells: Sequence[Mapping[str, Any]] = ()


def case_map(
    tx: Connection, caller: Caller, wanted: CaseFilter, now: datetime, shade: str = "reported", language: str = "zh"
) -> str:
    """The HTML of a map of the cases ``wanted`` that the caller may see, villages and grids shaded by a measure.

    Raises ``BadFilter`` for an unknown measure, ``Unavailable`` without a town or a built front-end.
    """
    town, book = register.the_town(tx), rulebook(tx)
    values = {
        by: {
            row.key: row.values[shade]
            for row in statistics.statistics(
                tx, caller, measures=[measure(shade).code], by=by, wanted=wanted, now=now
            ).rows
        }
        for by in ("village", "unit_grid")
    }
    villages = [
        {
            "type": "Feature",
            "properties": {"code": row.code, "name": row.short_name, "value": values["village"].get(row.code, 0)},
            "geometry": json.loads(row.geom),
            "label": (row.lat, row.lon),
        }
        for row in register.villages(tx)
    ]
    grids = shapes.unit_grids(tx)
    for grid in grids:
        code = grid["properties"]["code"]
        grid["properties"] |= {"name": code, "value": values["unit_grid"].get(code, 0)}
    rows = shapes.case_points(tx, caller, wanted, now, MOST_CASES)
    catalogues = book.catalogues

    def mark(row: Any) -> list[Any]:
        of = row._mapping
        category = catalogues[of["catalogue"]].category(of["category_kind"], of["category_code"])
        state = flow_of(tx, book, of).states[of["state"]].name[language]
        return [
            round(of["lat"], shapes.DECIMALS),
            round(of["lon"], shapes.DECIMALS),
            of["light"],
            of["number"],
            category.name,
            state,
            of["village_name"] or of["village_code"],
            of["department_name"] or "",
            f"{of['reported_at'].astimezone(ZONE):%m-%d %H:%M}",
            of["description"][:60],
        ]

    total = len(rows) if len(rows) < MOST_CASES else search.count(tx, caller, wanted, now)
    west, south, east, north = town["bbox"]
    return render(
        Sheet(
            title=town["name"],
            bbox=(west, south, east, north),
            ground=shapes.ground(tx, ("green", "water", "road")),
            villages=villages,
            grids=grids,
            measure=shade,
            marks=[mark(row) for row in rows],
            total=total,
            filter=filter_words.words(tx, book, wanted, language),
            made_at=now,
            synthetic=town["synthetic"],
            language=language,
            cells=shapes.case_cells(tx, caller, wanted, now, _heat_resolution(west, south, east, north)),
        )
    )


def _heat_resolution(west: float, south: float, east: float, north: float) -> int:
    """The finest h3 resolution of those for towns whose cells are few enough to read."""
    wide, high = metres_per_degree((south + north) / 2)
    across = max((east - west) * wide, (north - south) * high)
    edges = {level: h3.average_hexagon_edge_length(level, unit="m") for level in range(7, 12)}
    return max((level for level, edge in edges.items() if edge * 3**0.5 * _HEAT_ACROSS >= across), default=7)


def render(sheet: Sheet) -> str:
    """The HTML. Raises ``Unavailable`` when the front-end was not built."""
    import folium
    from branca.element import Figure

    words = WORDS[sheet.language]
    west, south, east, north = sheet.bbox
    drawn = folium.Map(
        location=[(south + north) / 2, (west + east) / 2], tiles=None, prefer_canvas=True, control_scale=True
    )
    # Without tiles nothing else says how far one may zoom, and no step has to fit a picture's.
    drawn.options |= {"min_zoom": 10, "max_zoom": 20, "zoom_snap": 0.25}
    drawn.default_js, drawn.default_css = [], []
    drawn.fit_bounds([[south, west], [north, east]])
    areas, ways = (
        [f for f in sheet.ground if (f["properties"]["layer"] in GROUND) == filled] for filled in (True, False)
    )
    _ground(areas).add_to(drawn)
    _shaded(sheet.grids, words["grids"], 0.3, show=False).add_to(drawn)
    villages = _shaded(sheet.villages, words["villages"], 0.0, show=True)
    for feature in sheet.villages:
        if "label" in feature:
            _label(feature).add_to(villages)
    villages.add_to(drawn)
    _ground(ways).add_to(drawn)
    _outlines(sheet.villages).add_to(drawn)
    _shaded(sheet.cells, words["heat"], 0.6, show=False, shades=HEATS).add_to(drawn)
    _cases(sheet, words).add_to(drawn)
    folium.LayerControl(collapsed=False, position="topright").add_to(drawn)
    figure = drawn.get_root()
    assert isinstance(figure, Figure)
    figure.title = _safe(_title(sheet))
    for name, element in _assets().items():
        figure.header.add_child(element, name=name)
    figure.header.add_child(_texts(sheet, words), name="texts")
    figure.html.add_child(_verbatim(_legend(sheet, words)))
    return str(figure.render())


def _title(sheet: Sheet) -> str:
    chosen = MEASURES[sheet.measure]
    return f"{sheet.title} · {chosen.zh if sheet.language == 'zh' else chosen.en}"


def _ground(features: Sequence[Mapping[str, Any]]) -> "folium.FeatureGroup":
    import folium

    group = folium.FeatureGroup(name="ground", control=False)
    for feature in features:
        layer, kind = feature["properties"]["layer"], feature["properties"]["kind"]
        fill = GROUND.get(layer)
        style: dict[str, Any] = {"color": "#ffffff", "weight": ROADS.get(kind, 1.0), "interactive": False}
        if fill:
            style |= {"stroke": False, "fillColor": fill, "fillOpacity": 1}
        folium.GeoJson(_plain(feature), style_function=lambda _, style=style: style, control=False).add_to(group)
    return group


def _outlines(features: Sequence[Mapping[str, Any]]) -> "folium.FeatureGroup":
    import folium

    group = folium.FeatureGroup(name="outlines", control=False)
    if features:
        bare = [{"type": "Feature", "properties": {}, "geometry": feature["geometry"]} for feature in features]
        style = {"color": "#3a4654", "weight": 1.6, "fill": False, "interactive": False}
        collection = {"type": "FeatureCollection", "features": bare}
        folium.GeoJson(collection, style_function=lambda _: style, control=False).add_to(group)
    return group


def _shaded(
    features: Sequence[Mapping[str, Any]], name: str, weight: float, *, show: bool, shades: Sequence[str] = SHADES
) -> "folium.FeatureGroup":
    import folium

    group = folium.FeatureGroup(name=name, show=show)
    edges = breaks([f["properties"]["value"] for f in features])

    def style(feature: Mapping[str, Any]) -> dict[str, Any]:
        shade = shades[bisect_left(edges, feature["properties"]["value"])]
        return {"color": "#5b6b7d", "weight": weight, "fillColor": shade, "fillOpacity": 0.62}

    if features:
        told = features[0]["properties"]
        folium.GeoJson(
            {"type": "FeatureCollection", "features": [_plain(feature) for feature in features]},
            style_function=style,
            tooltip=folium.GeoJsonTooltip([key for key in ("name", "value") if key in told], labels=False),
        ).add_to(group)
    return group


def breaks(values: Sequence[int]) -> list[int]:
    """Upper bounds of the shades but the last: 0 apart, then like shares of the keys that have something, rounded."""
    some = sorted(value for value in values if value > 0)
    if not some:
        return [0]
    classes = len(SHADES) - 1
    bounds = {_round_up(some[(len(some) * k) // classes - 1]) for k in range(1, classes) if len(some) * k // classes}
    return [0, *sorted(bound for bound in bounds if bound < some[-1])]


def _round_up(value: int) -> int:
    step: int = 10 ** max(0, len(str(value)) - 2)
    return -(-value // step) * step


def _safe(text: str) -> str:
    """Text as HTML. Braces too: folium puts what it rendered through the template engine once more."""
    return html.escape(text).replace("{", "&#123;")


def _plain(feature: Mapping[str, Any]) -> dict[str, Any]:
    """The feature with its texts as HTML, which is how Leaflet's tooltips take them."""
    properties = {k: _safe(v) if isinstance(v, str) else v for k, v in feature["properties"].items()}
    return {"type": "Feature", "properties": properties, "geometry": feature["geometry"]}


def _label(feature: Mapping[str, Any]) -> "folium.Marker":
    import folium

    text = f"{_safe(feature['properties']['name'])}<b>{feature['properties']['value']}</b>"
    icon = folium.DivIcon(html=f"<span>{text}</span>", class_name="village", icon_size=(0, 0))
    return folium.Marker(feature["label"], icon=icon, interactive=False, z_index_offset=-1000)


_MARK = """
function (row) {
  var texts = wanggeTexts[row[3]];
  var icon = L.divIcon({className: 'case ' + row[2], iconSize: [14, 14]});
  var marker = L.marker([row[0], row[1]], {icon: icon, light: row[2], title: texts[0], alt: texts[0]});
  marker.bindPopup(function () {
    var table = document.createElement('table');
    wanggeFacts.forEach(function (name, i) {
      var line = table.insertRow();
      line.insertCell().textContent = name;
      line.insertCell().textContent = texts[i];
    });
    return table;
  });
  return marker;
}
"""

# The ring of a cluster shows the shares of the lights in it, the worst first.
_CLUSTER = """
function (cluster) {
  var colours = %s, counts = {}, n = cluster.getChildCount(), from = 0;
  cluster.getAllChildMarkers().forEach(function (m) {
    counts[m.options.light] = (counts[m.options.light] || 0) + 1;
  });
  var ring = ['red', 'yellow', 'green', 'none'].filter(function (name) { return counts[name]; });
  var worst = ring[0];
  ring = ring.map(function (name) {
    var to = from + 100 * counts[name] / n, part = colours[name] + ' ' + from + '%% ' + to + '%%';
    from = to;
    return part;
  });
  var size = 24 + 3 * Math.log2(n);
  return L.divIcon({
    html: '<i style="background:conic-gradient(' + ring.join(',') + ')"></i><b>' + n + '</b>',
    className: 'cluster ' + worst,
    iconSize: [size, size]
  });
}
"""


def _texts(sheet: Sheet, words: Mapping[str, Any]) -> "Element":
    """What people wrote, for the popups: past folium, whose template engine would run what stands in braces."""
    texts = json.dumps([list(mark[3:]) for mark in sheet.marks], ensure_ascii=False, separators=(",", ":"))
    facts = json.dumps(words["facts"], ensure_ascii=False)
    # In a script only "<" can end it or open a comment; as an escape it is the same JSON.
    return _verbatim(f"<script>var wanggeFacts={facts},wanggeTexts={texts.replace('<', chr(92) + 'u003c')}</script>")


def _cases(sheet: Sheet, words: Mapping[str, Any]) -> "FastMarkerCluster":
    from folium.plugins import FastMarkerCluster

    layer = FastMarkerCluster(  # type: ignore[no-untyped-call]
        [[*mark[:3], i] for i, mark in enumerate(sheet.marks)],
        callback=_MARK,
        icon_create_function=_CLUSTER % json.dumps(LIGHTS),
        name=words["cases"],
        max_cluster_radius=46,
        disable_clustering_at_zoom=17,
        show_coverage_on_hover=False,
        chunked_loading=True,
    )
    layer.default_js, layer.default_css = [], []
    return layer


def _legend(sheet: Sheet, words: Mapping[str, Any]) -> str:
    shades = _scale(sheet.villages, SHADES)
    heats = f"<p>{words['per_cell']}</p><ul>{_scale(sheet.cells, HEATS)}</ul>" if sheet.cells else ""
    lights = "".join(f'<li><i class="case {light}"></i>{words[light]}</li>' for light in LIGHTS)
    count = words["omitted" if sheet.total > len(sheet.marks) else "shown"].format(
        shown=f"{len(sheet.marks):,}", total=f"{sheet.total:,}"
    )
    colon = "：" if sheet.language == "zh" else ": "
    chosen = [f"{_safe(head)}{colon}{_safe(names)}" for head, names in sheet.filter.items()]
    kept = f"<h2>{words['filter']}</h2><ul>{''.join(f'<li>{line}</li>' for line in chosen)}</ul>"
    made = f"{sheet.made_at.astimezone(ZONE):%Y-%m-%d %H:%M}"
    lines = [
        f"<h1>{_safe(_title(sheet))}</h1>",
        f'<p class="synthetic">{words["synthetic"]}</p>' if sheet.synthetic else "",
        f"<ul>{shades}</ul>{heats}<ul>{lights}</ul>",
        kept if chosen else f"<p>{words['all']}</p>",
        f"<p>{count}<br>{words['made']}{colon}{made}</p>",
    ]
    return f'<aside id="legend">{"".join(lines)}</aside>'


def _scale(features: Sequence[Mapping[str, Any]], shades: Sequence[str]) -> str:
    """The lines of the legend for a shaded layer."""
    values = [f["properties"]["value"] for f in features]
    edges = breaks(values)
    names = [
        "0",
        *(f"{low + 1}–{high}" if high > low + 1 else str(high) for low, high in pairwise(edges)),
    ]
    if any(values):
        names.append(f"> {edges[-1]}")
    first = 1 if values and 0 not in values else 0
    pairs = zip(shades[first:], names[first:], strict=False)
    return "".join(f'<li><i style="background:{shade}"></i>{name}</li>' for shade, name in pairs)


def _css() -> str:
    lights = "".join(
        f".case.{name}{{background:{colour}}}.cluster.{name}{{border-color:{colour}}}"
        for name, colour in LIGHTS.items()
    )
    return lights + _SHAPES


_SHAPES = """
html,body{font-family:"PingFang SC","Microsoft YaHei","Noto Sans CJK SC",system-ui,sans-serif}
.leaflet-container{background:#eef0ea;font:inherit}
.case{display:inline-block;width:14px;height:14px;box-sizing:border-box;border:2px solid #fff;border-radius:50%}
.case.yellow{border:0;border-radius:0;clip-path:polygon(50% 0,100% 100%,0 100%)}
.case.red{border:0;border-radius:0;clip-path:polygon(50% 0,100% 50%,50% 100%,0 50%)}
.case.none{background:#fff;border:3px solid #7d8590}
.cluster{display:flex;align-items:center;justify-content:center}
.cluster i{position:absolute;inset:0;border-radius:50%;opacity:.9}
.cluster b{position:absolute;inset:4px;display:flex;align-items:center;justify-content:center;border-radius:50%;
background:#fff;font-size:12px;font-variant-numeric:tabular-nums;color:#1d2733}
.village span{position:absolute;transform:translate(-50%,-50%);text-align:center;white-space:nowrap;font-size:12px;
color:#1d2733;text-shadow:0 0 3px #fff,0 0 3px #fff}
.village b{display:block;font-size:14px}
#legend{position:fixed;left:12px;bottom:60px;z-index:1000;max-width:260px;padding:10px 14px;background:#fffffff0;
border-radius:6px;box-shadow:0 1px 4px #0004;font-size:13px;line-height:1.5;color:#1d2733}
#legend h1{font-size:16px;margin:0 0 4px}
#legend h2{font-size:13px;font-weight:600;margin:4px 0 0}
#legend h2+ul{display:block;margin-top:0}
#legend h2+ul li{display:block;overflow-wrap:anywhere}
#legend p{margin:4px 0}
#legend .synthetic{color:#a15c00;font-weight:600}
#legend ul{list-style:none;margin:4px 0;padding:0;display:flex;flex-wrap:wrap;gap:2px 12px}
#legend li{display:flex;align-items:center;gap:5px}
#legend i{display:inline-block;width:14px;height:14px}
#legend i:not(.case){border:1px solid #5b6b7d}
.leaflet-popup-content td:first-child{color:#5b6b7d;padding-right:8px;white-space:nowrap}
@media (max-width:600px){#legend{max-width:none;right:12px}}
"""


def _verbatim(markup: str) -> "Element":
    """Markup that is no template: libraries hold braces of their own."""
    from branca.element import Element

    told = Element("{{ this.markup }}")
    told.markup = markup  # type: ignore[attr-defined]  # the template's only word
    return told


def _assets() -> "dict[str, Element]":
    try:
        scripts, styles = ([(ASSETS / name).read_text("utf-8") for name in names] for names in (_SCRIPTS, _STYLES))
    except FileNotFoundError as error:
        raise Unavailable("前端尚未构建，请先执行 make setup", "The front-end is not built; run make setup") from error
    # Leaflet's pictures are of its default pin and folded layer switch, neither of which is used.
    styles = [re.sub(r"url\([^)]*\)", "none", style) for style in styles]
    found = {f"style{i}": _verbatim(f"<style>{style}</style>") for i, style in enumerate([*styles, _css()])}
    return found | {f"script{i}": _verbatim(f"<script>{script}</script>") for i, script in enumerate(scripts)}
