"""What intake keeps: sealed personal data of callers, and the register of exceptions."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the change."""
    op.create_table(
        "case_person",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False, comment="field of the form it was told in"),
        sa.Column("sealed", sa.LargeBinary(), nullable=False, comment="SM4-GCM, bound to case and field"),
        sa.Column(
            "subject", sa.LargeBinary(), nullable=True, comment="pseudonym: the same for the same telephone number"
        ),
        sa.PrimaryKeyConstraint("case_id", "field", name=op.f("pk_case_person")),
        comment="personal data of callers: all that is kept of it, so that deleting these rows forgets them",
    )
    op.create_index(
        "ix_case_person_subject", "case_person", ["subject"], postgresql_where=sa.text("subject is not null")
    )
    op.create_table(
        "intake_exception",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="blocked: reports are refused | commitment: material was promised",
        ),
        sa.Column("subject", sa.LargeBinary(), nullable=False, comment="pseudonym of the telephone number"),
        sa.Column("case_id", sa.Uuid(), nullable=True, comment="the case the material was promised for"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False, comment="last day it holds, or on which the material is due"),
        sa.Column("by_id", sa.Uuid(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.Text(), server_default="", nullable=False),
        sa.Column("lift_reason", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("kind in ('blocked','commitment')", name=op.f("ck_intake_exception_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intake_exception")),
        comment="who is not listened to until when, and who has promised what until when",
    )
    op.create_index(op.f("ix_intake_exception_subject"), "intake_exception", ["subject"])
    op.create_index(
        "ix_intake_exception_case_id",
        "intake_exception",
        ["case_id"],
        postgresql_where=sa.text("case_id is not null"),
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("intake_exception")
    op.drop_table("case_person")
