"""How far the clock that dated a fix was off, where its moment was put right."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "position",
        sa.Column("clock_s", sa.Integer(), nullable=True, comment="added to the device's own moment; null: nothing"),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_column("position", "clock_s")
