"""Tracks: what a day of somebody's comes to, the ground they saw, who looked at it, and days that can be dropped."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_DROP_DAYS = """
    CREATE FUNCTION drop_position_days(before date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE
        part text;
        dropped integer := 0;
    BEGIN
        -- Whatever a town's rule says: what is a week old is not for a slip of the pen to take.
        IF before > (now() AT TIME ZONE 'Asia/Shanghai')::date - 7 THEN
            RAISE EXCEPTION 'positions of the last seven days are not dropped' USING ERRCODE = 'restrict_violation';
        END IF;
        FOR part IN
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'position'::regclass AND c.relname ~ '^position_[0-9]{8}$'
                AND to_date(right(c.relname, 8), 'YYYYMMDD') < before
            ORDER BY 1
        LOOP
            EXECUTE format('DROP TABLE %I', part);
            dropped := dropped + 1;
        END LOOP;
        DELETE FROM position_default WHERE at < before::timestamp AT TIME ZONE 'Asia/Shanghai';
        RETURN dropped;
    END $$
"""


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "track_look",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="name as it was"),
        sa.Column("inspector_id", sa.Uuid(), nullable=False, comment="whose track"),
        sa.Column("day", sa.Date(), nullable=False, comment="which day of theirs"),
        sa.Column("what", sa.Text(), nullable=False, comment="history | replay | gpx | import"),
        sa.Column("why", sa.Text(), nullable=False, comment="a reason of the track rule"),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("exact", sa.Boolean(), nullable=False, comment="false: no more than the coarse view"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_track_look")),
        comment="append-only: who looked at whose track of which day, and why",
    )
    op.create_index(op.f("ix_track_look_inspector_id_at"), "track_look", ["inspector_id", "at"])
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON track_look EXECUTE FUNCTION refuse_change()"
    )
    _days()
    _grounds()
    op.execute(_DROP_DAYS)
    op.execute("REVOKE ALL ON FUNCTION drop_position_days(date) FROM PUBLIC")
    # Days that came before there was anything to work out.
    op.execute(
        "INSERT INTO patrol_day (inspector_id, day, stale)"
        " SELECT DISTINCT inspector_id, (at AT TIME ZONE 'Asia/Shanghai')::date, true FROM position"
    )


def _days() -> None:
    def seconds(name: str, **how: object) -> "sa.Column[float]":
        return sa.Column(name, sa.Double(), **how)  # type: ignore[arg-type]

    zero = {"server_default": sa.text("0"), "nullable": False}
    op.create_table(
        "patrol_day",
        sa.Column("inspector_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("stale", sa.Boolean(), nullable=False, comment="fixes came since it was worked out"),
        sa.Column("worked_out_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("coarse_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fixes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "marks",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="fixes by reason",
        ),
        sa.Column(
            "own_grids",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="duty grids of that day",
        ),
        seconds("distance_m", **zero),
        seconds("recorded_s", **zero, comment="between fixes without a gap"),
        seconds("outside_s", **zero, comment="of it, outside the own grids"),
        seconds("on_duty_s", nullable=True, comment="by the duty calendar; null: no shift that day"),
        seconds("unknown_s", nullable=True, comment="of it, without a track"),
        sa.Column(
            "late",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="batches that came after coarsening",
        ),
        sa.PrimaryKeyConstraint("inspector_id", "day", name=op.f("pk_patrol_day")),
        comment="what a person's track of a day comes to; worked out from positions, and again when some come late",
    )
    op.create_index(op.f("ix_patrol_day_day"), "patrol_day", ["day"])
    op.create_index("ix_patrol_day_stale", "patrol_day", ["day"], postgresql_where=sa.text("stale"))


def _grounds() -> None:
    op.create_table(
        "patrol_grid",
        sa.Column("inspector_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("unit_grid_code", sa.Text(), nullable=False),
        sa.Column(
            "seen", sa.LargeBinary(), nullable=False, comment="one bit for each 10 m cell of the grid's rectangle"
        ),
        sa.Column("dwell_s", sa.Double(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("inspector_id", "day", "unit_grid_code", name=op.f("pk_patrol_grid")),
        comment="which cells of a unit grid a person saw on a day; last_at is null when only from over the border",
    )
    op.create_index(op.f("ix_patrol_grid_day"), "patrol_grid", ["day"])
    op.create_table(
        "patrol_ground",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("unit_grid_code", sa.Text(), nullable=False),
        sa.Column("seen", sa.LargeBinary(), nullable=False),
        sa.Column("dwell_s", sa.Double(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("day", "unit_grid_code", name=op.f("pk_patrol_ground")),
        comment="the same of everybody together, kept after the persons' tracks were coarsened",
    )


def downgrade() -> None:
    """Take the change back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP FUNCTION drop_position_days(date)")
    for table in ("patrol_ground", "patrol_grid", "patrol_day", "track_look"):
        op.drop_table(table)
