"""Sketches as files for other programs: GeoJSON, KML, GeoPackage. Knows formats; knows no table and no web."""

import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from shapely.geometry import shape

from gis.geometry import STORED
from gis.measuring import circle

MEDIA: Final[Mapping[str, str]] = {
    "geojson": "application/geo+json",
    "kml": "application/vnd.google-earth.kml+xml",
    "gpkg": "application/geopackage+sqlite3",
}
"""The formats there are, and their media types."""
_KML: Final = "http://www.opengis.net/kml/2.2"
_TABLES: Final = {"Point": "points", "LineString": "lines", "Polygon": "areas"}


def written(name: str, features: Mapping[str, Any], form: str) -> bytes:
    """A sketch as a file in one of :data:`MEDIA`; circles become their rings of 72 corners. EPSG:4490 degrees."""
    drawn = [_whole(feature) for feature in features["features"]]
    if form == "kml":
        return _kml(name, drawn)
    if form == "gpkg":
        return _geopackage(drawn)
    whole = {"type": "FeatureCollection", "name": name, "features": drawn}
    return json.dumps(whole, ensure_ascii=False).encode()


def _whole(feature: Mapping[str, Any]) -> dict[str, Any]:
    told, geometry = feature["properties"], feature["geometry"]
    if told["shape"] == "circle":
        ring = circle(*geometry["coordinates"], told["radius_m"])
        geometry = {"type": "Polygon", "coordinates": [[list(p) for p in ring]]}
    return {"type": "Feature", "properties": dict(told), "geometry": geometry}


def _geopackage(drawn: list[dict[str, Any]]) -> bytes:
    """One table for each kind of geometry: points, lines, areas. An empty sketch has an empty table of points."""
    import geopandas  # with pandas 40 MB that a process drawing tiles has no use for

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sketch.gpkg"
        for kind, table in _TABLES.items():
            rows = [one for one in drawn if one["geometry"]["type"] == kind]
            if not rows and (drawn or kind != "Point"):
                continue
            columns = {key: [r["properties"].get(key) for r in rows] for key in ("shape", "label", "colour", "width")}
            columns["radius_m"] = [r["properties"].get("radius_m") for r in rows]
            frame = geopandas.GeoDataFrame(columns, geometry=[shape(r["geometry"]) for r in rows], crs=STORED)
            frame.to_file(path, layer=table, driver="GPKG", engine="pyogrio", geometry_type=kind)
        return path.read_bytes()


def _kml(name: str, drawn: list[dict[str, Any]]) -> bytes:
    ElementTree.register_namespace("", _KML)
    root = ElementTree.Element(f"{{{_KML}}}kml")
    document = ElementTree.SubElement(root, f"{{{_KML}}}Document")
    _text(document, "name", name)
    for one in drawn:
        told, geometry = one["properties"], one["geometry"]
        mark = ElementTree.SubElement(document, f"{{{_KML}}}Placemark")
        _text(mark, "name", told["label"] or told["shape"])
        _style(mark, told["colour"], told["width"])
        within = ElementTree.SubElement(mark, f"{{{_KML}}}{geometry['type']}")
        corners = geometry["coordinates"]
        if geometry["type"] == "Polygon":
            edge = ElementTree.SubElement(within, f"{{{_KML}}}outerBoundaryIs")
            within = ElementTree.SubElement(edge, f"{{{_KML}}}LinearRing")
            corners = corners[0]
        elif geometry["type"] == "Point":
            corners = [corners]
        _text(within, "coordinates", " ".join(f"{lon},{lat}" for lon, lat in corners))
    kept = io.BytesIO()
    ElementTree.ElementTree(root).write(kept, encoding="utf-8", xml_declaration=True)
    return kept.getvalue()


def _style(mark: ElementTree.Element, colour: str, width: int) -> None:
    """KML writes colours as alpha, blue, green, red."""
    bgr = colour[5:7] + colour[3:5] + colour[1:3]
    style = ElementTree.SubElement(mark, f"{{{_KML}}}Style")
    for part, alpha in (("LineStyle", "ff"), ("PolyStyle", "40"), ("LabelStyle", "ff")):
        one = ElementTree.SubElement(style, f"{{{_KML}}}{part}")
        _text(one, "color", alpha + bgr)
        if part == "LineStyle":
            _text(one, "width", str(width))


def _text(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, f"{{{_KML}}}{tag}").text = text
