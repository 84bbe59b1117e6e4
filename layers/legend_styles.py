"""A legend as styles other map programs read: QGIS's own QML, and SLD 1.0 for the rest. Knows colours, no data.

A legend is (value, label, colour as #rrggbb) of a field, or of no field ("") when one colour is for all.
"""

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

Colours = Sequence[tuple[str, str, str]]
_KINDS: Final = {"point": ("marker", "SimpleMarker"), "polygon": ("fill", "SimpleFill")}
_SEE_THROUGH: Final = 102


def qml(title: str, shape: str, field: str, colours: Colours) -> str:
    """The style as QGIS keeps it; ``shape`` is point or polygon."""
    kind, layer = _KINDS[shape]
    symbols = "".join(
        f'<symbol name="{i}" type="{kind}" alpha="1" clip_to_extent="1" force_rhr="0">'
        f'<layer class="{layer}" enabled="1" locked="0" pass="0">{_options(shape, colour)}</layer></symbol>'
        for i, (_, _, colour) in enumerate(colours if field else colours[:1])
    )
    categories = "".join(
        f'<category symbol="{i}" type="string" render="true" value={quoteattr(value)} label={quoteattr(label)}/>'
        for i, (value, label, _) in enumerate(colours)
    )
    renderer = f'type="categorizedSymbol" attr={quoteattr(field)}' if field else 'type="singleSymbol"'
    categories = f"<categories>{categories}</categories>" if field else ""
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
        f'<qgis version="3.22.0" styleCategories="Symbology"><renderer-v2 {renderer} symbollevels="0" forceraster="0"'
        f' enableorderby="0">{categories}<symbols>{symbols}</symbols></renderer-v2>'
        f"<layerGeometryType>{0 if shape == 'point' else 2}</layerGeometryType></qgis>"
    )


def _options(shape: str, colour: str) -> str:
    """Settings of a symbol, as both older and newer releases write them."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    solid = f"{red},{green},{blue},255"
    if shape == "point":
        told = {"color": solid, "name": "circle", "size": "2.4", "outline_color": "255,255,255,255"}
    else:
        told = {"color": f"{red},{green},{blue},{_SEE_THROUGH}", "style": "solid", "outline_color": solid}
    options = "".join(f'<Option name="{name}" type="QString" value="{value}"/>' for name, value in told.items())
    return f'<Option type="Map">{options}</Option>' + "".join(f'<prop k="{k}" v="{v}"/>' for k, v in told.items())


def sld(title: str, shape: str, field: str, colours: Colours) -> str:
    """The style as SLD 1.0: one rule a value."""
    rules = []
    for value, label, colour in colours if field else colours[:1]:
        equal = (
            f"<ogc:Filter><ogc:PropertyIsEqualTo><ogc:PropertyName>{escape(field)}</ogc:PropertyName>"
            f"<ogc:Literal>{escape(value)}</ogc:Literal></ogc:PropertyIsEqualTo></ogc:Filter>"
        )
        condition = equal if field else ""
        rules.append(f"<Rule><Title>{escape(label)}</Title>{condition}{_symbolizer(shape, colour)}</Rule>")
    return (
        '<?xml version="1.0" encoding="UTF-8"?><StyledLayerDescriptor version="1.0.0"'
        ' xmlns="http://www.opengis.net/sld" xmlns:ogc="http://www.opengis.net/ogc"><NamedLayer>'
        f"<Name>{escape(title)}</Name><UserStyle><Title>{escape(title)}</Title>"
        f"<FeatureTypeStyle>{''.join(rules)}</FeatureTypeStyle></UserStyle></NamedLayer></StyledLayerDescriptor>"
    )


def _symbolizer(shape: str, colour: str) -> str:
    def css(name: str, value: str) -> str:
        return f"<CssParameter name={quoteattr(name)}>{escape(value)}</CssParameter>"

    fill, edge = f"<Fill>{css('fill', colour)}", f"<Stroke>{css('stroke', colour)}{css('stroke-width', '1')}</Stroke>"
    if shape == "polygon":
        return f"<PolygonSymbolizer>{fill}{css('fill-opacity', '0.4')}</Fill>{edge}</PolygonSymbolizer>"
    mark = f"<Mark><WellKnownName>circle</WellKnownName>{fill}</Fill></Mark><Size>8</Size>"
    return f"<PointSymbolizer><Graphic>{mark}</Graphic></PointSymbolizer>"
