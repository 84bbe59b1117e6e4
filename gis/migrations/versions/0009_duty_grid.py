"""An inspector's cases are found without reading everybody's."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index("ix_case_duty_grid", "case", ["duty_grid_code", sa.text("reported_at desc"), sa.text("id desc")])


def downgrade() -> None:
    """Take the change back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_case_duty_grid", table_name="case")
