"""What time alone should have done with a case and was refused: when it is tried again, and why it was refused."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "stuck_timer",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="overdue | timer"),
        sa.Column(
            "due_at", sa.DateTime(timezone=True), nullable=False, comment="the limit or timer of the case it was for"
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False, comment="of the first refusal"),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.CheckConstraint("kind in ('overdue','timer')", name=op.f("ck_stuck_timer_kind")),
        sa.PrimaryKeyConstraint("case_id", "kind", name=op.f("pk_stuck_timer")),
        comment="what time alone should have done with a case and was refused; deleted when done or no longer due",
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("stuck_timer")
