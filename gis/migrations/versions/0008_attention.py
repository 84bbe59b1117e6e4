"""What is urged and supervised is found without reading every case."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_case_supervised": ("supervised_at", "supervised_at is not null"),
    "ix_case_urged": ("urge_count", "urge_count > 0"),
}


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name, (indexed, where) in INDEXES.items():
        op.create_index(name, "case", [indexed], postgresql_where=sa.text(where))


def downgrade() -> None:
    """Take the change back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in INDEXES:
        op.drop_index(name, table_name="case")
