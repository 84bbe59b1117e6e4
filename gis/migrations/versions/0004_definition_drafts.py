"""Drafts of definitions, and why a version was published."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "definition", sa.Column("note", sa.Text(), server_default="", nullable=False, comment="why it was published")
    )
    op.create_table(
        "definition_draft",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column(
            "revision",
            sa.Integer(),
            nullable=False,
            comment="counts every saving: who saves says which one they saw",
        ),
        sa.Column(
            "base_version",
            sa.Integer(),
            nullable=False,
            comment="the newest version when the draft was begun; 0: none",
        ),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("by_id", sa.Uuid(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("kind", "code", name=op.f("pk_definition_draft")),
    )


def downgrade() -> None:
    op.drop_table("definition_draft")
    op.drop_column("definition", "note")
