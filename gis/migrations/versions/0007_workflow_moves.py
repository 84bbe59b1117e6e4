"""Moves of running cases to another version of their workflow."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def _json(name: str, *, nullable: bool, comment: str) -> "sa.Column[object]":
    return sa.Column(name, postgresql.JSONB(astext_type=sa.Text()), nullable=nullable, comment=comment)


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "workflow_move",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="workflow the cases ran on"),
        sa.Column("source_version", sa.Integer(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("target_version", sa.Integer(), nullable=False),
        _json("states", nullable=False, comment="state of the source → state of the target"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="running | stopped | done"),
        sa.Column("started_by_id", sa.Uuid(), nullable=True),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state in ('running','stopped','done')", name=op.f("ck_workflow_move_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_move")),
        comment="running cases moved to another version of their workflow",
    )
    op.create_table(
        "workflow_move_case",
        sa.Column("move_id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.Text(), server_default="waiting", nullable=False, comment="waiting | moved | refused"),
        sa.Column("from_state", sa.Text(), nullable=True),
        sa.Column("to_state", sa.Text(), nullable=True),
        _json("problem", nullable=True, comment="why it was refused"),
        sa.Column("seq", sa.Integer(), nullable=True, comment="the event that moved it"),
        sa.Column("tries", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("outcome in ('waiting','moved','refused')", name=op.f("ck_workflow_move_case_outcome")),
        sa.PrimaryKeyConstraint("move_id", "case_id", name=op.f("pk_workflow_move_case")),
    )
    op.create_index(
        "ix_workflow_move_case_waiting",
        "workflow_move_case",
        ["move_id"],
        postgresql_where=sa.text("outcome = 'waiting'"),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("workflow_move_case")
    op.drop_table("workflow_move")
