"""What people keep on the map: preferences, sketches with their versions, panoramas."""

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def _json() -> postgresql.JSONB:
    return postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "preference",
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="what it is about, such as wall.layers"),
        sa.Column("value", _json(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("staff_id", "name", name=op.f("pk_preference")),
        comment="how somebody has set up their pages, on whatever device",
    )
    op.create_table(
        "sketch",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "shared", sa.Boolean(), server_default=sa.text("false"), nullable=False, comment="everybody may see it"
        ),
        sa.Column("features", _json(), nullable=False, comment="GeoJSON FeatureCollection, EPSG:4490 degrees"),
        sa.Column(
            "version", sa.Integer(), server_default=sa.text("1"), nullable=False, comment="raised by every change"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sketch")),
        comment="what somebody drew on the map",
    )
    op.create_index("ix_sketch_owner", "sketch", ["owner_id"])
    op.create_table(
        "sketch_version",
        sa.Column("sketch_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("features", _json(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("sketch_id", "version", name=op.f("pk_sketch_version")),
        comment="a sketch as it was in each version",
    )
    _panoramas()


def _panoramas() -> None:
    op.create_table(
        "panorama",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "heading",
            sa.Double(),
            server_default=sa.text("0"),
            nullable=False,
            comment="where the picture's middle looks, degrees",
        ),
        sa.Column(
            "sha256",
            sa.LargeBinary(),
            nullable=True,
            comment="the equirectangular picture; none: drawn from the town's ground",
        ),
        sa.Column("synthetic", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("geom", Geometry("POINT", srid=4490, spatial_index=False, nullable=False), nullable=False),
        sa.CheckConstraint("synthetic or sha256 is not null", name=op.f("ck_panorama_picture")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_panorama")),
        comment="pictures all around, at a place",
    )
    op.create_index("ix_panorama_geom", "panorama", ["geom"], postgresql_using="gist")


def downgrade() -> None:
    """Take the change back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("panorama", "sketch_version", "sketch", "preference"):
        op.drop_table(table)
