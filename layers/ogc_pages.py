"""The documents of OGC API – Features as plain pages: what a person sees who opens one in a browser. Knows no row."""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

MEDIA_TYPE: Final = "text/html"
#: Only what is in the page itself is used: no script, nothing from elsewhere.
POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"

_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "zh": {
        "title": "网格图层",
        "how": "供 QGIS、GDAL 等程序读取的图层（OGC API – Features）。"
        "在程序里填这个地址；用户名是本人用户名，密码处填“地图令牌”。",
        "token": "制作地图令牌",
        "layers": "图层",
        "features": "要素",
        "shown": "本页 {n} 个",
        "matched": "共 {n} 个",
        "none": "没有要素。",
        "document": "文档内容",
        "links": "链接",
        "more": "此处只列前 {n} 列",
    },
    "en": {
        "title": "Grid layers",
        "how": "Layers for QGIS, GDAL and other programs (OGC API – Features). Give the program this address; the user"
        " is your own user name, the password a map token.",
        "token": "Make a map token",
        "layers": "Layers",
        "features": "Features",
        "shown": "{n} on this page",
        "matched": "{n} in all",
        "none": "No features.",
        "document": "The document",
        "links": "Links",
        "more": "only the first {n} columns are shown",
    },
}
_RELATIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "zh": {
        "service-desc": "接口说明（OpenAPI）",
        "conformance": "符合性声明",
        "data": "图层",
        "items": "要素",
        "queryables": "可筛选字段",
        "schema": "字段说明",
        "describedby": "字段说明",
        "collection": "所属图层",
        "next": "下一页",
        "self": "本页",
        "alternate": "其他格式",
    },
    "en": {
        "service-desc": "OpenAPI",
        "conformance": "Conformance",
        "data": "Layers",
        "items": "Features",
        "queryables": "Queryables",
        "schema": "Schema",
        "describedby": "Schema",
        "collection": "The layer",
        "next": "Next page",
        "self": "This page",
        "alternate": "Other format",
    },
}
_COLUMNS_MOST: Final = 12


def page(told: Mapping[str, Any], base: str, language: str) -> str:
    """A document as HTML; ``base`` is the address of the landing page, ``language`` zh or en."""
    words = _WORDS[language]
    if "collections" in told:
        body = _layers(told["collections"], language)
    elif "features" in told:
        body = _features(told, words)
    elif told.get("type") == "Feature":
        body = _facts(told["properties"])
    elif "conformsTo" in told:
        body = "<ul>" + "".join(f"<li><code>{html.escape(one)}</code></li>" for one in told["conformsTo"]) + "</ul>"
    elif "itemType" in told:
        body = f"<p>{html.escape(_names(told, language)[1])}</p>"
    elif "links" in told:
        body = (
            f'<p>{words["how"]}</p><p><code class="address">{html.escape(base)}</code></p>'
            f'<p><a href="{html.escape(base.removesuffix("/ogc"))}/desk/account">{words["token"]}</a></p>'
        )
    else:
        body = f"<pre>{html.escape(json.dumps(told, ensure_ascii=False, indent=2))}</pre>"
    title = _title(told, language)
    return (
        f'<!doctype html><html lang="{"zh-CN" if language == "zh" else "en"}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{title}</title>"
        f"<style>{_CSS}</style></head><body><nav>"
        f'<a href="{html.escape(base)}">{words["title"]}</a> › '
        f'<a href="{html.escape(base)}/collections">{words["layers"]}</a></nav>'
        f"<main><h1>{title}</h1>{body}{_links(told.get('links', ()), language)}</main></body></html>"
    )


def _names(layer: Mapping[str, Any], language: str) -> tuple[str, str]:
    """A layer's name in the language of the page, and in the other one."""
    return (layer["title"], layer["description"]) if language == "zh" else (layer["description"], layer["title"])


def _title(told: Mapping[str, Any], language: str) -> str:
    words = _WORDS[language]
    if "collections" in told:
        return words["layers"]
    if "features" in told:
        return words["features"]
    if told.get("type") == "Feature":
        return html.escape(str(told["id"]))
    if "itemType" in told:
        return html.escape(_names(told, language)[0])
    return html.escape(str(told.get("title") or words["document"]))


def _layers(layers: Sequence[Mapping[str, Any]], language: str) -> str:
    rows = []
    for one in layers:
        links = {link["rel"].rpartition("/")[2]: html.escape(link["href"]) for link in one["links"]}
        first, other = (html.escape(name) for name in _names(one, language))
        rows.append(
            f'<tr><th scope="row"><a href="{links["self"]}">{first}</a></th><td>{other}</td>'
            f"<td><code>{html.escape(one['id'])}</code></td>"
            + "".join(
                f'<td><a href="{links[rel]}">{_RELATIONS[language][rel]}</a></td>'
                for rel in ("items", "queryables", "schema")
            )
            + "</tr>"
        )
    return f'<div class="box" tabindex="0"><table>{"".join(rows)}</table></div>'


def _features(told: Mapping[str, Any], words: Mapping[str, str]) -> str:
    said = [words["shown"].format(n=told["numberReturned"])]
    if "numberMatched" in told:
        said.append(words["matched"].format(n=f"{told['numberMatched']:,}"))
    if not told["features"]:
        return f"<p>{words['none']}</p>"
    here = next(link["href"] for link in told["links"] if link["rel"] == "collection")
    every = list(told["features"][0]["properties"])
    names = every[:_COLUMNS_MOST]
    if len(every) > len(names):
        said.append(words["more"].format(n=len(names)))
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in ("id", *names))
    rows = "".join(
        f'<tr><th scope="row"><a href="{html.escape(here)}/items/{html.escape(str(one["id"]))}">'
        f"{html.escape(str(one['id']))}</a></th>"
        + "".join(f"<td>{_cell(one['properties'].get(name))}</td>" for name in names)
        + "</tr>"
        for one in told["features"]
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<p>{" · ".join(said)}</p><div class="box" tabindex="0">{table}</div>'


def _facts(properties: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{_cell(value)}</td></tr>'
        for name, value in properties.items()
    )
    return f"<table>{rows}</table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return html.escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _links(links: Sequence[Mapping[str, str]], language: str) -> str:
    if not links:
        return ""
    names = _RELATIONS[language]
    lines = "".join(
        f'<li><a href="{html.escape(link["href"])}" rel="{html.escape(link["rel"])}">'
        f"{names.get(link['rel'].rpartition('/')[2], html.escape(link['rel']))}</a>"
        f" <small>{html.escape(link['type'])}</small></li>"
        for link in links
    )
    return f"<h2>{_WORDS[language]['links']}</h2><ul>{lines}</ul>"


_CSS: Final = (
    'body{margin:0;font:15px/1.6 "PingFang SC","Microsoft YaHei","Noto Sans CJK SC",system-ui,sans-serif;color:#1c242c;'
    "background:#f4f5f3}nav,main{padding:12px 24px}nav{background:#fff;border-bottom:1px solid #d8dde2}"
    "main{max-width:1400px}h1{font-size:20px;margin:8px 0}h2{font-size:15px;margin:20px 0 4px}a{color:#16324f}"
    "code,pre{font:13px/1.5 ui-monospace,monospace}.address{padding:4px 8px;background:#fff;border:1px solid #d8dde2}"
    "small{color:#59636e}pre,.box{overflow:auto;background:#fff;border:1px solid #d8dde2}pre{padding:12px}"
    "table{border-collapse:collapse;background:#fff}th,td{padding:3px 12px;border:1px solid #e4e8eb;text-align:left;"
    "font-weight:400;white-space:nowrap;font-variant-numeric:tabular-nums}thead th{color:#59636e}ul{padding-left:20px}"
)
