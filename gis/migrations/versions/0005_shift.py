"""The life of the command centre: posts of shifts, important times, hand-overs, log, running reports, devices."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

APPEND_ONLY = ("handover", "duty_log", "running_report")


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    _posts_of_shifts()
    op.create_table(
        "special_period",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False, comment="the last day, included"),
        sa.Column(
            "posts",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="required posts, as in a duty plan",
        ),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("ends_on >= starts_on", name=op.f("ck_special_period_order")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_special_period")),
        comment="important times (重要时刻) that ask for more people on duty",
    )
    op.create_table(
        "handover",
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="place in the one chain"),
        sa.Column("id", sa.Uuid(), nullable=False, comment="of the hand-over: one row gives, one signs"),
        sa.Column("kind", sa.Text(), nullable=False, comment="given | signed"),
        sa.Column("role", sa.Text(), nullable=False, comment="the post handed over"),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="name as it was"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("prev_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="SM3 of prev_hash and the canonical row"),
        sa.CheckConstraint("kind in ('given','signed')", name=op.f("ck_handover_kind")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_handover")),
        sa.UniqueConstraint("id", "kind", name=op.f("uq_handover_id_kind")),
        comment="append-only",
    )
    _log_and_reports()
    op.create_table(
        "device",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="phone | printer | camera | recorder"),
        sa.Column("label", sa.Text(), nullable=False, comment="what is stuck on it"),
        sa.Column("key", sa.Text(), nullable=True, comment="what the device calls itself when it sends or signs in"),
        sa.Column("holder_id", sa.Uuid(), nullable=True),
        sa.Column(
            "state",
            sa.Text(),
            server_default="stored",
            nullable=False,
            comment="stored | handed_out | lost | retired",
        ),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind in ('phone','printer','camera','recorder')", name=op.f("ck_device_kind")),
        sa.CheckConstraint("state in ('stored','handed_out','lost','retired')", name=op.f("ck_device_state")),
        sa.CheckConstraint("(state = 'handed_out') <= (holder_id is not null)", name=op.f("ck_device_holder")),
        sa.ForeignKeyConstraint(["holder_id"], ["staff.id"], name=op.f("fk_device_holder_id_staff")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
        sa.UniqueConstraint("key", name=op.f("uq_device_key")),
        sa.UniqueConstraint("label", name=op.f("uq_device_label")),
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " EXECUTE FUNCTION refuse_change()"
        )


def _posts_of_shifts() -> None:
    op.add_column("shift", sa.Column("role", sa.Text(), server_default="", nullable=False, comment="the post stood on"))
    op.add_column("shift", sa.Column("note", sa.Text(), server_default="", nullable=False))
    op.execute(
        "UPDATE shift SET role = held.role FROM (SELECT staff_id, min(role) AS role FROM staff_role GROUP BY staff_id)"
        " held WHERE held.staff_id = shift.staff_id"
    )
    op.alter_column("shift", "role", server_default=None)
    op.create_check_constraint(op.f("ck_shift_order"), "shift", "ends_at > starts_at")
    op.create_index(op.f("ix_shift_starts_at"), "shift", ["starts_at"], unique=False)


def _log_and_reports() -> None:
    op.create_table(
        "duty_log",
        sa.Column("id", sa.Uuid(), nullable=False, comment="made by whoever wrote it"),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="phone|transfer|visit|meeting|incident|instruction|other"),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=True),
        sa.Column("photo", sa.LargeBinary(), nullable=True, comment="SHA-256"),
        sa.Column("follows", sa.Uuid(), nullable=True, comment="the entry this one corrects or goes on with"),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="name as it was"),
        sa.CheckConstraint(
            "kind in ('phone','transfer','visit','meeting','incident','instruction','other')",
            name=op.f("ck_duty_log_kind"),
        ),
        sa.ForeignKeyConstraint(["follows"], ["duty_log.id"], name=op.f("fk_duty_log_follows_duty_log")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_duty_log")),
        comment="append-only: corrected only by an entry that follows",
    )
    op.create_index("ix_duty_log_happened", "duty_log", [sa.text("happened_at desc"), sa.text("id desc")], unique=False)
    op.create_table(
        "running_report",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False, comment="day | week | month"),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False, comment="the last day, included"),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="SM3 of the canonical body"),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("period in ('day','week','month')", name=op.f("ck_running_report_period")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_running_report")),
        comment="append-only: figures as they were when it was made",
    )
    op.create_index(op.f("ix_running_report_since"), "running_report", ["since"], unique=False)


def downgrade() -> None:
    """Take the change back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("device", "running_report", "duty_log", "handover", "special_period"):
        op.drop_table(table)
    op.drop_index(op.f("ix_shift_starts_at"), table_name="shift")
    op.drop_constraint(op.f("ck_shift_order"), "shift", type_="check")
    op.drop_column("shift", "note")
    op.drop_column("shift", "role")
