"""What the desk keeps of cases: tasks, foreign codes, tags, links, the moments it sorts and wakes by."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _time(name: str, comment: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True, comment=comment)


def _texts(name: str, comment: str) -> sa.Column[Any]:
    return sa.Column(name, postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment=comment)


def _count(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.SmallInteger(), server_default=sa.text("0"), nullable=False)


COLUMNS = (
    _time("stage_yellow_at"),
    _time("next_due_at", "of the stage, else of the running handling clock"),
    _time("wake_at", "when the state's timer acts"),
    _time("supervised_at", "when it was put under supervision"),
    _time("exempted_at", "when an appeal took it out of the department's figures"),
    _texts("awaits", "roles expected to act"),
    _texts("tags", "campaigns and other marks"),
    sa.Column("parent_id", sa.Uuid(), nullable=True, comment="the case this one was opened for"),
    sa.Column("merged_into", sa.Uuid(), nullable=True, comment="the case that goes on in its place"),
    sa.Column(
        "facts",
        postgresql.JSONB(astext_type=sa.Text()),
        server_default=sa.text("'{}'::jsonb"),
        nullable=False,
        comment="what actions told and kept",
    ),
    _count("extension_count"),
    _count("urge_count"),
    _count("appeal_count"),
)
PARTIAL = {
    "ix_case_wake": ("wake_at", "wake_at is not null"),
    "ix_case_assignee": ("assignee_id", "assignee_id is not null"),
    "ix_case_parent": ("parent_id", "parent_id is not null"),
    "ix_case_merged": ("merged_into", "merged_into is not null"),
    "ix_case_tags": ("tags", "tags <> '{}'"),
}


def upgrade() -> None:
    """Make the change."""
    # A busy table makes the migration fail after five seconds rather than queue everybody behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "case_code",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="what the channel calls the case"),
        sa.PrimaryKeyConstraint("case_id", "channel", "code", name=op.f("pk_case_code")),
    )
    op.create_index(op.f("ix_case_code_code"), "case_code", ["code"], unique=False)
    op.create_table(
        "case_task",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="of gis.case_tasks.KINDS"),
        sa.Column("state", sa.Text(), server_default="open", nullable=False, comment="open | done | cancelled"),
        sa.Column("department_code", sa.Text(), nullable=True),
        sa.Column("assignee_id", sa.Uuid(), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("opened_seq", sa.Integer(), nullable=False, comment="the event that opened it"),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_seq", sa.Integer(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "result", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.CheckConstraint("state in ('open','done','cancelled')", name=op.f("ck_case_task_state")),
        sa.PrimaryKeyConstraint("case_id", "id", name=op.f("pk_case_task")),
        comment="what somebody has to do for a case beside its state; changed only by an act",
    )
    for holder in ("assignee_id", "department_code"):
        op.create_index(
            f"ix_case_task_{holder.partition('_')[0]}",
            "case_task",
            [holder, "kind"],
            postgresql_where=sa.text("state = 'open'"),
        )
    for column in COLUMNS:
        op.add_column("case", column._copy())
    op.create_index("ix_case_next_due", "case", [sa.text("coalesce(next_due_at, 'infinity')"), "id"])
    for name, (indexed, where) in PARTIAL.items():
        using = "gin" if indexed == "tags" else None
        op.create_index(name, "case", [indexed], postgresql_using=using, postgresql_where=sa.text(where))


def downgrade() -> None:
    """Take the change back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in (*PARTIAL, "ix_case_next_due"):
        op.drop_index(name, table_name="case")
    for column in COLUMNS:
        op.drop_column("case", column.name)
    op.drop_table("case_task")
    op.drop_table("case_code")
