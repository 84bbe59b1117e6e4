"""Alembic's entry: runs the steps on the connection it is given. Knows no URL and no engine of the application."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from geoalchemy2 import Geometry

from gis import tables


def render_item(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """How a new migration writes the two column types that are not SQLAlchemy's own."""
    if kind == "type" and isinstance(item, Geometry):
        autogen.imports.add("from geoalchemy2 import Geometry")
        nullable = "" if item.nullable else ", nullable=False"
        return f"Geometry({item.geometry_type!r}, srid={item.srid}, spatial_index=False{nullable})"
    if kind == "type" and isinstance(item, tables.Xid8):
        autogen.imports.add("from gis.tables import Xid8")
        return "Xid8()"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    include_object=context.config.attributes["include_object"],
    render_item=render_item,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
