"""The initial schema."""

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry
from sqlalchemy.dialects import postgresql

from gis.tables import Xid8

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# What Alembic cannot see: the triggers that keep history as it was, the case counter, and the days of positions.
GUARDS = (
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE FUNCTION refuse_definition_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        -- Only the end of a version's validity may be set.
        IF to_jsonb(NEW) - 'valid_to' IS DISTINCT FROM to_jsonb(OLD) - 'valid_to' THEN
            RAISE EXCEPTION 'a published definition never changes: publish a new version'
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON case_event EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON case_digest EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON definition EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER immutable BEFORE UPDATE ON definition FOR EACH ROW EXECUTE FUNCTION refuse_definition_change()",
    "CREATE SEQUENCE case_number",
    "CREATE TABLE position_default PARTITION OF position DEFAULT",
    """
    CREATE FUNCTION ensure_position_partition(day date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DECLARE
        part text := 'position_' || to_char(day, 'YYYYMMDD');
        starts timestamptz := day::timestamp AT TIME ZONE 'Asia/Shanghai';
        ends timestamptz := (day + 1)::timestamp AT TIME ZONE 'Asia/Shanghai';
    BEGIN
        IF to_regclass(part) IS NOT NULL THEN
            RETURN;
        END IF;
        -- A table lock, not an advisory one: taking it also brings news of tables made meanwhile.
        LOCK TABLE position IN SHARE UPDATE EXCLUSIVE MODE;
        IF to_regclass(part) IS NOT NULL THEN
            RETURN;
        END IF;
        -- Fixes that came before their day existed lie in the default partition and move with it.
        EXECUTE format('CREATE TABLE %I (LIKE position INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
        EXECUTE format(
            'WITH moved AS (DELETE FROM position_default WHERE at >= %L AND at < %L RETURNING *)'
            ' INSERT INTO %I SELECT * FROM moved', starts, ends, part);
        EXECUTE format(
            'ALTER TABLE position ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, starts, ends);
    END $$
    """,
    "REVOKE ALL ON FUNCTION ensure_position_partition(date) FROM PUBLIC",
)


def upgrade() -> None:
    """Make the change."""
    # A busy table makes the migration fail after five seconds rather than queue everybody behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE EXTENSION IF NOT EXISTS postgis")
    op.create_table(
        "attachment",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False, comment="before | after | check | other"),
        sa.Column("mime", sa.Text(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False, comment="the event that brought it"),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("case_id", "sha256", "purpose", name=op.f("pk_attachment")),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False, comment="ok | refused"),
        sa.Column(
            "detail", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        comment="append-only",
    )
    op.create_table(
        "basemap_feature",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False, comment="road | water | green | parcel | building"),
        sa.Column(
            "kind",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="class within the layer, such as trunk or lane",
        ),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("geom", Geometry("GEOMETRY", srid=4490, spatial_index=False, nullable=False), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_basemap_feature")),
    )
    op.create_index("ix_basemap_feature_geom", "basemap_feature", ["geom"], unique=False, postgresql_using="gist")
    op.create_table(
        "case",
        sa.Column("id", sa.Uuid(), nullable=False, comment="made by whoever first had the case"),
        sa.Column("number", sa.Text(), nullable=False, comment="human number, RH20261120-000123"),
        sa.Column("query_code", sa.Text(), nullable=False, comment="lets a reporter follow the case"),
        sa.Column("kind", sa.Text(), nullable=False, comment="case kind: case, hotline, whistle, …"),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("catalogue", sa.Text(), nullable=False),
        sa.Column("category_kind", sa.Text(), nullable=False, comment="component | event"),
        sa.Column("category_code", sa.Text(), nullable=False),
        sa.Column("condition_code", sa.Text(), server_default="", nullable=False, comment="row of the filing standard"),
        sa.Column(
            "severity",
            sa.SmallInteger(),
            server_default=sa.text("1"),
            nullable=False,
            comment="1 normal, 2 serious, 3 urgent",
        ),
        sa.Column("component_code", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.Column("lon", sa.Double(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=False),
        sa.Column("mk", sa.BigInteger(), nullable=False, comment="Morton code, gis.geometry.morton"),
        sa.Column("h3", sa.BigInteger(), nullable=False, comment="h3 cell at resolution 12"),
        sa.Column("village_code", sa.Text(), nullable=False),
        sa.Column("unit_grid_code", sa.Text(), nullable=False),
        sa.Column("duty_grid_code", sa.Text(), nullable=False),
        sa.Column("area_class", sa.Text(), nullable=False),
        sa.Column(
            "department_code",
            sa.Text(),
            nullable=True,
            comment="the department that owns it: proposed by routing, fixed by dispatch",
        ),
        sa.Column("co_departments", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("routing", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="rule id and trace"),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("workflow_version", sa.Integer(), nullable=False),
        sa.Column(
            "versions",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="versions of the other definitions the case began with",
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "stage",
            sa.Text(),
            nullable=False,
            comment="report|acceptance|filing|dispatch|handling|feedback|check|closing",
        ),
        sa.Column("status", sa.Text(), nullable=False, comment="open | closed | void"),
        sa.Column(
            "assignee_id", sa.Uuid(), nullable=True, comment="the one person expected to act, where there is one"
        ),
        sa.Column("reporter_id", sa.Uuid(), nullable=True, comment="staff member who reported it"),
        sa.Column(
            "clock",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="limits and pauses",
        ),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("filed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("yellow_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("overdue_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stage_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rework_count", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("return_count", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("simulated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "content_digest", sa.LargeBinary(), nullable=False, comment="of the report as sent: same id, other content"
        ),
        sa.Column("seq", sa.Integer(), nullable=False, comment="sequence of the last event"),
        sa.Column("last_hash", sa.LargeBinary(), nullable=False, comment="hash of the last event"),
        sa.Column(
            "extra", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("area_class in ('A','B','C')", name=op.f("ck_case_area_class")),
        sa.CheckConstraint("category_kind in ('component','event')", name=op.f("ck_case_category_kind")),
        sa.CheckConstraint("status in ('open','closed','void')", name=op.f("ck_case_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case")),
    )
    op.create_index(
        "ix_case_category",
        "case",
        ["category_kind", "category_code", sa.literal_column("reported_at desc"), sa.literal_column("id desc")],
        unique=False,
    )
    op.create_index(op.f("ix_case_component_code"), "case", ["component_code"], unique=False)
    op.create_index(
        "ix_case_department",
        "case",
        ["department_code", sa.literal_column("reported_at desc"), sa.literal_column("id desc")],
        unique=False,
    )
    op.create_index("ix_case_due", "case", ["due_at"], unique=False, postgresql_where=sa.text("status = 'open'"))
    op.create_index("ix_case_grid", "case", ["unit_grid_code", sa.literal_column("reported_at desc")], unique=False)
    op.create_index(op.f("ix_case_mk"), "case", ["mk"], unique=False)
    op.create_index(op.f("ix_case_number"), "case", ["number"], unique=False)
    op.create_index(op.f("ix_case_query_code"), "case", ["query_code"], unique=False)
    op.create_index(
        "ix_case_reported", "case", [sa.literal_column("reported_at desc"), sa.literal_column("id desc")], unique=False
    )
    op.create_index(
        "ix_case_reporter",
        "case",
        ["reporter_id", sa.literal_column("reported_at desc"), sa.literal_column("id desc")],
        unique=False,
    )
    op.create_index(
        "ix_case_state",
        "case",
        ["state", sa.literal_column("reported_at desc"), sa.literal_column("id desc")],
        unique=False,
    )
    op.create_index(
        "ix_case_village",
        "case",
        ["village_code", sa.literal_column("reported_at desc"), sa.literal_column("id desc")],
        unique=False,
    )
    op.create_table(
        "case_digest",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column(
            "digest", sa.LargeBinary(), nullable=False, comment="SM3 over the day's event hashes and the digest before"
        ),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_case_digest")),
    )
    op.create_table(
        "case_event",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column(
            "id",
            sa.BigInteger(),
            sa.Identity(always=False),
            nullable=False,
            comment="feed position; commits out of order, see xid",
        ),
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True, comment="null: the report itself"),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True, comment="null: the system or an anonymous reporter"),
        sa.Column("actor", sa.Text(), nullable=False, comment="name as it was"),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "recorded_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("prev_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment="SM3 of prev_hash and the canonical event"),
        sa.PrimaryKeyConstraint("case_id", "seq", name=op.f("pk_case_event")),
        comment="append-only: history, audit, sync feed and outbox in one",
    )
    op.create_index(op.f("ix_case_event_xid_id"), "case_event", ["xid", "id"], unique=False)
    op.create_index("ix_case_event_recorded", "case_event", ["recorded_at"], unique=False, postgresql_using="brin")
    op.create_table(
        "definition",
        sa.Column("kind", sa.Text(), nullable=False, comment="catalogue, workflow, calendar, duty_list, …"),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="SM3 of the canonical body"),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_by", sa.Text(), server_default="system", nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("version > 0", name=op.f("ck_definition_version")),
        sa.PrimaryKeyConstraint("kind", "code", "version", name=op.f("pk_definition")),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "dead", sa.Boolean(), server_default=sa.text("false"), nullable=False, comment="gave up; shown to operators"
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        comment="what a consumer still has to take; written with the event, deleted when done",
    )
    op.create_index(
        "ix_delivery_next", "delivery", ["consumer", "id"], unique=False, postgresql_where=sa.text("not dead")
    )
    op.create_table(
        "department",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="command_centre | town_office | village | district_bureau | company",
        ),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_department")),
    )
    op.create_table(
        "division",
        sa.Column("code", sa.Text(), nullable=False, comment="12-digit statistical code"),
        sa.Column("level", sa.Text(), nullable=False, comment="district | township | village"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("short_name", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column(
            "synthetic", sa.Boolean(), server_default=sa.text("false"), nullable=False, comment="boundary is invented"
        ),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("geom", Geometry("MULTIPOLYGON", srid=4490, spatial_index=False), nullable=True),
        sa.CheckConstraint("level in ('district','township','village')", name=op.f("ck_division_level")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_division")),
    )
    op.create_index("ix_division_geom", "division", ["geom"], unique=False, postgresql_using="gist")
    op.create_table(
        "duty_grid",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("village_code", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("geom", Geometry("MULTIPOLYGON", srid=4490, spatial_index=False, nullable=False), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_duty_grid")),
    )
    op.create_index("ix_duty_grid_geom", "duty_grid", ["geom"], unique=False, postgresql_using="gist")
    op.create_table(
        "import_run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="components | grids | cases"),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="queued | running | done | refused"),
        sa.Column(
            "counts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "errors",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
            comment="first rows refused",
        ),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column(
            "path",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the kept upload, deleted when the run has ended",
        ),
        sa.Column(
            "mapping",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="a name or YAML text; empty: the default",
        ),
        sa.Column("attempts", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("heartbeat", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_run")),
    )
    op.create_table(
        "measure_case",
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("unit_grid_code", sa.Text(), nullable=False),
        sa.Column("village_code", sa.Text(), nullable=False),
        sa.Column("department_code", sa.Text(), server_default="", nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "measure", name=op.f("pk_measure_case")),
        comment="what each case adds to which figure: the roll-up's memory and the list behind every number",
    )
    op.create_index(
        op.f("ix_measure_case_measure_day_unit_grid_code"),
        "measure_case",
        ["measure", "day", "unit_grid_code"],
        unique=False,
    )
    op.create_table(
        "measure_day",
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("unit_grid_code", sa.Text(), nullable=False),
        sa.Column("department_code", sa.Text(), nullable=False),
        sa.Column("village_code", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("measure", "day", "unit_grid_code", "department_code", name=op.f("pk_measure_day")),
    )
    op.create_index(
        op.f("ix_measure_day_measure_village_code_day"), "measure_day", ["measure", "village_code", "day"], unique=False
    )
    op.create_table(
        "place",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="poi | address"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.Column("search", sa.Text(), nullable=False, comment="name, address, pinyin and initials, lower case"),
        sa.Column("geom", Geometry("POINT", srid=4490, spatial_index=False, nullable=False), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_place")),
    )
    op.create_index("ix_place_geom", "place", ["geom"], unique=False, postgresql_using="gist")
    op.create_table(
        "position",
        sa.Column("inspector_id", sa.Uuid(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lon", sa.Double(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=False),
        sa.Column("accuracy_m", sa.Double(), nullable=True),
        sa.Column(
            "crs", sa.Text(), server_default="EPSG:4490", nullable=False, comment="coordinate system it was sent in"
        ),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("inspector_id", "device", "seq", "at", name=op.f("pk_position")),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index(op.f("ix_position_inspector_id_at"), "position", ["inspector_id", "at"], unique=False)
    op.create_table(
        "position_live",
        sa.Column("inspector_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lon", sa.Double(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=False),
        sa.Column("accuracy_m", sa.Double(), nullable=True),
        sa.Column("unit_grid_code", sa.Text(), nullable=True),
        sa.Column("duty_grid_code", sa.Text(), nullable=True),
        sa.Column("village_code", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("inspector_id", name=op.f("pk_position_live")),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="channel, platform or file"),
        sa.Column("kind", sa.Text(), nullable=False, comment="case | component | grid | position"),
        sa.Column("code", sa.Text(), nullable=False, comment="problem code"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="as received"),
        sa.Column(
            "state", sa.Text(), server_default="waiting", nullable=False, comment="waiting | repaired | rejected"
        ),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    op.create_index(op.f("ix_quarantine_state_id"), "quarantine", ["state", "id"], unique=False)
    op.create_table(
        "survey",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="file name or generator"),
        sa.Column("crs", sa.Text(), nullable=False, comment="coordinate system the data came in"),
        sa.Column("catalogue", sa.Text(), nullable=False),
        sa.Column(
            "counts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_survey")),
    )
    op.create_table(
        "town",
        sa.Column("code", sa.Text(), nullable=False, comment="9-digit township code"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number_prefix", sa.Text(), nullable=False),
        sa.Column("synthetic", sa.Boolean(), nullable=False),
        sa.Column("catalogue", sa.Text(), nullable=False, comment="catalogue new cases and components are coded in"),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.Text(), server_default="", nullable=False, comment="SM3 over the loaded town"),
        sa.Column(
            "areas_version",
            sa.BigInteger(),
            server_default=sa.text("1"),
            nullable=False,
            comment="raised when areas change",
        ),
        sa.Column("loaded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_town")),
    )
    op.create_table(
        "unit_grid",
        sa.Column("code", sa.Text(), nullable=False, comment="15 digits 6+3+3+3; a retired code is never used again"),
        sa.Column("village_code", sa.Text(), nullable=False),
        sa.Column("area_class", sa.Text(), nullable=False, comment="A core, B general, C other: sets time limits"),
        sa.Column("land_use", sa.Text(), server_default="", nullable=False),
        sa.Column("area_m2", sa.Double(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=True),
        sa.Column("geom", Geometry("POLYGON", srid=4490, spatial_index=False, nullable=False), nullable=False),
        sa.CheckConstraint("area_class in ('A','B','C')", name=op.f("ck_unit_grid_area_class")),
        sa.CheckConstraint("code ~ '^[0-9]{15}$'", name=op.f("ck_unit_grid_code")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_unit_grid")),
    )
    op.create_index("ix_unit_grid_geom", "unit_grid", ["geom"], unique=False, postgresql_using="spgist")
    op.create_index(op.f("ix_unit_grid_village_code"), "unit_grid", ["village_code"], unique=False)
    op.create_table(
        "component",
        sa.Column("code", sa.Text(), nullable=False, comment="16 digits 6+2+2+6"),
        sa.Column("catalogue", sa.Text(), nullable=False),
        sa.Column("category_code", sa.Text(), nullable=False, comment="4 digits; ambiguous without the catalogue"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "state", sa.Text(), server_default="intact", nullable=False, comment="intact|damaged|lost|abandoned|removed"
        ),
        sa.Column("unit_grid_code", sa.Text(), nullable=False),
        sa.Column("village_code", sa.Text(), nullable=False),
        sa.Column("competent_unit", sa.Text(), server_default="", nullable=False, comment="主管部门 department code"),
        sa.Column("owner_unit", sa.Text(), server_default="", nullable=False, comment="权属单位 department code"),
        sa.Column("maintenance_unit", sa.Text(), server_default="", nullable=False, comment="养护单位 department code"),
        sa.Column("accuracy_class", sa.Text(), server_default="A", nullable=False, comment="A 0.5 m, B 1 m, C 10 m"),
        sa.Column("survey_id", sa.Uuid(), nullable=False),
        sa.Column("surveyed_on", sa.Date(), nullable=True),
        sa.Column("changed_on", sa.Date(), nullable=True),
        sa.Column("source_code", sa.Text(), server_default="", nullable=False, comment="identifier in the source file"),
        sa.Column("lon", sa.Double(), nullable=False, comment="of the representative point"),
        sa.Column("lat", sa.Double(), nullable=False),
        sa.Column("mk", sa.BigInteger(), nullable=False, comment="Morton code, gis.geometry.morton"),
        sa.Column(
            "properties", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("geom", Geometry("GEOMETRY", srid=4490, spatial_index=False, nullable=False), nullable=False),
        sa.CheckConstraint("code ~ '^[0-9]{16}$'", name=op.f("ck_component_code")),
        sa.CheckConstraint(
            "state in ('intact','damaged','lost','abandoned','removed')", name=op.f("ck_component_state")
        ),
        sa.ForeignKeyConstraint(["survey_id"], ["survey.id"], name=op.f("fk_component_survey_id_survey")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_component")),
    )
    op.create_index(op.f("ix_component_category_code"), "component", ["category_code"], unique=False)
    op.create_index("ix_component_geom", "component", ["geom"], unique=False, postgresql_using="gist")
    op.create_index(op.f("ix_component_mk"), "component", ["mk"], unique=False)
    op.create_index(op.f("ix_component_unit_grid_code"), "component", ["unit_grid_code"], unique=False)
    op.create_table(
        "duty_grid_member",
        sa.Column("unit_grid_code", sa.Text(), nullable=False),
        sa.Column("duty_grid_code", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["duty_grid_code"], ["duty_grid.code"], name=op.f("fk_duty_grid_member_duty_grid_code_duty_grid")
        ),
        sa.ForeignKeyConstraint(
            ["unit_grid_code"], ["unit_grid.code"], name=op.f("fk_duty_grid_member_unit_grid_code_unit_grid")
        ),
        sa.PrimaryKeyConstraint("unit_grid_code", name=op.f("pk_duty_grid_member")),
    )
    op.create_index(op.f("ix_duty_grid_member_duty_grid_code"), "duty_grid_member", ["duty_grid_code"], unique=False)
    op.create_table(
        "staff",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("department_code", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True, comment="Argon2id; null: cannot log in with a password"),
        sa.Column(
            "machine", sa.Boolean(), server_default=sa.text("false"), nullable=False, comment="a platform, not a person"
        ),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("failed_logins", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("locked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["department_code"], ["department.code"], name=op.f("fk_staff_department_code_department")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff")),
        sa.UniqueConstraint("username", name=op.f("uq_staff_username")),
    )
    op.create_table(
        "shift",
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duty_grid_code", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_shift_staff_id_staff")),
        sa.PrimaryKeyConstraint("staff_id", "starts_at", name=op.f("pk_shift")),
    )
    op.create_table(
        "staff_role",
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, comment="town | village | duty_grid | department | own"),
        sa.Column("scope_code", sa.Text(), server_default="", nullable=False, comment="code of the area or department"),
        sa.CheckConstraint(
            "scope in ('town','village','duty_grid','department','own')", name=op.f("ck_staff_role_scope")
        ),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_staff_role_staff_id_staff")),
        sa.PrimaryKeyConstraint("staff_id", "role", "scope", "scope_code", name=op.f("pk_staff_role")),
    )
    op.create_table(
        "token",
        sa.Column(
            "digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the opaque token; the token is not kept"
        ),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="session | device | machine"),
        sa.Column("label", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('session','device','machine')", name=op.f("ck_token_kind")),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_token_staff_id_staff")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_token")),
    )
    op.create_index(op.f("ix_token_staff_id"), "token", ["staff_id"], unique=False)
    for statement in GUARDS:
        op.execute(statement)


def downgrade() -> None:
    """Take the change back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index(op.f("ix_token_staff_id"), table_name="token")
    op.drop_table("token")
    op.drop_table("staff_role")
    op.drop_table("shift")
    op.drop_table("staff")
    op.drop_index(op.f("ix_duty_grid_member_duty_grid_code"), table_name="duty_grid_member")
    op.drop_table("duty_grid_member")
    op.drop_index(op.f("ix_component_unit_grid_code"), table_name="component")
    op.drop_index(op.f("ix_component_mk"), table_name="component")
    op.drop_index("ix_component_geom", table_name="component", postgresql_using="gist")
    op.drop_index(op.f("ix_component_category_code"), table_name="component")
    op.drop_table("component")
    op.drop_index(op.f("ix_unit_grid_village_code"), table_name="unit_grid")
    op.drop_index("ix_unit_grid_geom", table_name="unit_grid", postgresql_using="spgist")
    op.drop_table("unit_grid")
    op.drop_table("town")
    op.drop_table("survey")
    op.drop_index(op.f("ix_quarantine_state_id"), table_name="quarantine")
    op.drop_table("quarantine")
    op.drop_table("position_live")
    op.drop_index(op.f("ix_position_inspector_id_at"), table_name="position")
    op.drop_table("position")
    op.drop_index("ix_place_geom", table_name="place", postgresql_using="gist")
    op.drop_table("place")
    op.drop_index(op.f("ix_measure_day_measure_village_code_day"), table_name="measure_day")
    op.drop_table("measure_day")
    op.drop_index(op.f("ix_measure_case_measure_day_unit_grid_code"), table_name="measure_case")
    op.drop_table("measure_case")
    op.drop_table("import_run")
    op.drop_index("ix_duty_grid_geom", table_name="duty_grid", postgresql_using="gist")
    op.drop_table("duty_grid")
    op.drop_index("ix_division_geom", table_name="division", postgresql_using="gist")
    op.drop_table("division")
    op.drop_table("department")
    op.drop_index("ix_delivery_next", table_name="delivery", postgresql_where=sa.text("not dead"))
    op.drop_table("delivery")
    op.drop_table("definition")
    op.drop_index("ix_case_event_recorded", table_name="case_event", postgresql_using="brin")
    op.drop_index(op.f("ix_case_event_xid_id"), table_name="case_event")
    op.drop_table("case_event")
    op.drop_table("case_digest")
    op.drop_index("ix_case_village", table_name="case")
    op.drop_index("ix_case_state", table_name="case")
    op.drop_index("ix_case_reporter", table_name="case")
    op.drop_index("ix_case_reported", table_name="case")
    op.drop_index(op.f("ix_case_query_code"), table_name="case")
    op.drop_index(op.f("ix_case_number"), table_name="case")
    op.drop_index(op.f("ix_case_mk"), table_name="case")
    op.drop_index("ix_case_grid", table_name="case")
    op.drop_index("ix_case_due", table_name="case", postgresql_where=sa.text("status = 'open'"))
    op.drop_index("ix_case_department", table_name="case")
    op.drop_index(op.f("ix_case_component_code"), table_name="case")
    op.drop_index("ix_case_category", table_name="case")
    op.drop_table("case")
    op.drop_index("ix_basemap_feature_geom", table_name="basemap_feature", postgresql_using="gist")
    op.drop_table("basemap_feature")
    op.drop_table("audit")
    op.drop_table("attachment")
    op.execute("DROP SEQUENCE case_number")
    op.execute("DROP FUNCTION refuse_change, refuse_definition_change, ensure_position_partition")
