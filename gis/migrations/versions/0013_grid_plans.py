"""Plans of grids that wait for their day, and what became of grids that ended."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "unit_grid_lineage",
        sa.Column("old_code", sa.Text, primary_key=True),
        sa.Column("new_code", sa.Text, primary_key=True),
        sa.Column("share", sa.Double, nullable=False, comment="of the old grid's land that the new one got"),
        sa.Column("valid_from", sa.Date, nullable=False),
        sa.CheckConstraint("share > 0 and share <= 1.000001", name="share"),
        comment="what became of ended unit grids, by land",
    )
    op.create_index("ix_unit_grid_lineage_new_code", "unit_grid_lineage", ["new_code"])
    op.create_table(
        "grid_plan",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("valid_from", sa.Date, nullable=False),
        sa.Column("steps", JSONB, nullable=False, comment="as drafted, gis.grid_plan"),
        sa.Column(
            "changes",
            JSONB,
            nullable=False,
            comment="codes opened and ended, memberships, names, nodes put into borders",
        ),
        sa.Column("published_by", sa.Text, nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("note", sa.Text, nullable=False, server_default=""),
        sa.Column("taken_at", sa.DateTime(timezone=True)),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True)),
        comment="published grid plans; one waits for its day until it is taken",
    )


def downgrade() -> None:
    """Take the change back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("grid_plan")
    op.drop_table("unit_grid_lineage")
