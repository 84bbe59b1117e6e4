"""Surveys are drafted before they are published; components keep their versions and photos."""

import sqlalchemy as sa
from alembic import op
from geoalchemy2 import Geometry
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SURVEYED = """
    catalogue, category_code, name, state, unit_grid_code, village_code, competent_unit, owner_unit, maintenance_unit,
    accuracy_class, survey_id, surveyed_on, changed_on, source_code, lon, lat, mk, properties, geom, case_id, valid_from
"""
KEEPING = (
    f"""
    CREATE FUNCTION keep_component_version() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        -- What one transaction does to a component is one version.
        IF OLD.valid_from = now() THEN
            NEW.version := OLD.version;
            NEW.valid_from := OLD.valid_from;
            RETURN NEW;
        END IF;
        INSERT INTO component_version (code, {SURVEYED}, version, valid_to)
            SELECT OLD.code, {", ".join(f"OLD.{name.strip()}" for name in SURVEYED.split(","))}, OLD.version, now();
        NEW.version := OLD.version + 1;
        NEW.valid_from := now();
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER keep_version BEFORE UPDATE ON component FOR EACH ROW"
    " WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION keep_component_version()",
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON component_version"
    " EXECUTE FUNCTION refuse_change()",
)


def upgrade() -> None:
    """Make the change."""
    # A busy table makes the migration fail after five seconds rather than queue everybody behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "census_difference",
        sa.Column("draft_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="added | moved | changed | removed"),
        sa.Column("row", sa.Integer(), nullable=True, comment="null: not in the survey"),
        sa.Column("code", sa.Text(), nullable=False, comment="empty: assigned when published"),
        sa.Column(
            "base_version", sa.Integer(), nullable=True, comment="of the published component it was compared with"
        ),
        sa.Column("catalogue", sa.Text(), nullable=False),
        sa.Column("category_code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("village_code", sa.Text(), nullable=False),
        sa.Column("moved_m", sa.Double(), nullable=True),
        sa.Column(
            "changes",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
            comment="field → [before, after]",
        ),
        sa.Column(
            "geom",
            Geometry("GEOMETRY", srid=4490, spatial_index=False, nullable=False),
            nullable=False,
            comment="point; line: moved",
        ),
        sa.CheckConstraint("kind in ('added','moved','changed','removed')", name=op.f("ck_census_difference_kind")),
        sa.PrimaryKeyConstraint("draft_id", "number", name=op.f("pk_census_difference")),
    )
    op.create_index(
        op.f("ix_census_difference_draft_id_kind_number"),
        "census_difference",
        ["draft_id", "kind", "number"],
        unique=False,
    )
    op.create_index("ix_census_difference_geom", "census_difference", ["geom"], unique=False, postgresql_using="gist")
    op.create_table(
        "census_draft",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False, comment="the kept upload, deleted when the draft has ended"),
        sa.Column("mapping", sa.Text(), nullable=False, comment="a name or YAML text"),
        sa.Column(
            "state", sa.Text(), server_default="open", nullable=False, comment="open | refused | published | withdrawn"
        ),
        sa.Column(
            "removal",
            sa.Text(),
            server_default="surveyed",
            nullable=False,
            comment="surveyed | none: what absence means",
        ),
        sa.Column("revision", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="counts every check"),
        sa.Column("run_id", sa.Uuid(), nullable=True, comment="the last check asked for"),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("crs", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "told",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="fields the survey speaks of",
        ),
        sa.Column(
            "counts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "problem", postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment="why the whole file is refused"
        ),
        sa.Column("made_by_id", sa.Uuid(), nullable=True),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("survey_id", sa.Uuid(), nullable=True, comment="what it was published as"),
        sa.Column("ended_by", sa.Text(), server_default="", nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("removal in ('surveyed','none')", name=op.f("ck_census_draft_removal")),
        sa.CheckConstraint("state in ('open','refused','published','withdrawn')", name=op.f("ck_census_draft_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_census_draft")),
        comment="a survey before it is published: its file, its mapping and its repairs; all else is derived from them",
    )
    op.create_table(
        "census_finding",
        sa.Column("draft_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False, comment="0: the whole file"),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="problem code"),
        sa.Column("severity", sa.Text(), nullable=False, comment="error: the row cannot be published | warning"),
        sa.Column("field", sa.Text(), server_default="", nullable=False),
        sa.Column("zh", sa.Text(), nullable=False),
        sa.Column("en", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column(
            "suggestion",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="{kind, field, value, zh, en}: a repair, or null",
        ),
        sa.CheckConstraint("severity in ('error','warning')", name=op.f("ck_census_finding_severity")),
        sa.PrimaryKeyConstraint("draft_id", "number", name=op.f("pk_census_finding")),
    )
    op.create_index(
        op.f("ix_census_finding_draft_id_code_number"), "census_finding", ["draft_id", "code", "number"], unique=False
    )
    op.create_table(
        "census_repair",
        sa.Column("draft_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="of gis.census_repairs.KINDS"),
        sa.Column("field", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "items",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="row → value, or raw value → value meant",
        ),
        sa.Column("finding", sa.Text(), server_default="", nullable=False, comment="code of the findings it answers"),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("draft_id", "number", name=op.f("pk_census_repair")),
    )
    op.create_table(
        "census_row",
        sa.Column("draft_id", sa.Uuid(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False, comment="as a reader of the file calls it"),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="empty: assigned when published"),
        sa.Column("catalogue", sa.Text(), nullable=False),
        sa.Column("category_code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("unit_grid_code", sa.Text(), nullable=False),
        sa.Column("village_code", sa.Text(), nullable=False),
        sa.Column("competent_unit", sa.Text(), nullable=False),
        sa.Column("owner_unit", sa.Text(), nullable=False),
        sa.Column("maintenance_unit", sa.Text(), nullable=False),
        sa.Column("accuracy_class", sa.Text(), nullable=False),
        sa.Column("surveyed_on", sa.Date(), nullable=True),
        sa.Column("changed_on", sa.Date(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("mk", sa.BigInteger(), nullable=True),
        sa.Column("properties", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("geom", Geometry("GEOMETRY", srid=4490, spatial_index=False), nullable=True),
        sa.Column("status", sa.Text(), nullable=False, comment="good | bad | excluded"),
        sa.Column(
            "received",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="as received, where it is not good",
        ),
        sa.CheckConstraint("status in ('good','bad','excluded')", name=op.f("ck_census_row_status")),
        sa.PrimaryKeyConstraint("draft_id", "row", name=op.f("pk_census_row")),
    )
    op.create_table(
        "census_sample",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("draft_id", sa.Uuid(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("plan_version", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, comment="of the draft it was drawn from"),
        sa.Column("lot", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("accept", sa.Integer(), nullable=False, comment="as many bad ones are still accepted"),
        sa.Column("seed", sa.Text(), nullable=False),
        sa.Column(
            "state", sa.Text(), server_default="open", nullable=False, comment="open | accepted | rejected | discarded"
        ),
        sa.Column("drawn_by", sa.Text(), nullable=False),
        sa.Column("drawn_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False, comment="why it was discarded"),
        sa.CheckConstraint("state in ('open','accepted','rejected','discarded')", name=op.f("ck_census_sample_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_census_sample")),
    )
    op.create_index(op.f("ix_census_sample_draft_id"), "census_sample", ["draft_id"], unique=False)
    op.create_table(
        "census_sample_row",
        sa.Column("sample_id", sa.Uuid(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False, comment="order in which it was drawn"),
        sa.Column("result", sa.Text(), nullable=True, comment="good | bad; null: not checked yet"),
        sa.Column(
            "faults",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="of gis.census_sampling.FAULTS",
        ),
        sa.Column("lon", sa.Double(), nullable=True, comment="as measured in the field"),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("error_m", sa.Double(), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("photo", sa.LargeBinary(), nullable=True, comment="SHA-256"),
        sa.Column("by", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("result in ('good','bad')", name=op.f("ck_census_sample_row_result")),
        sa.PrimaryKeyConstraint("sample_id", "row", name=op.f("pk_census_sample_row")),
    )
    op.create_table(
        "component_photo",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("mime", sa.Text(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=True, comment="the change case it came with"),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("code", "sha256", name=op.f("pk_component_photo")),
    )
    op.create_table(
        "component_version",
        sa.Column("code", sa.Text(), nullable=False),
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
        sa.Column("case_id", sa.Uuid(), nullable=True, comment="the change case that brought this version"),
        sa.Column("valid_from", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["survey_id"], ["survey.id"], name=op.f("fk_component_version_survey_id_survey")),
        sa.PrimaryKeyConstraint("code", "version", name=op.f("pk_component_version")),
        comment="append-only: what a component was before; a trigger on component writes it",
    )
    op.create_index(op.f("ix_component_version_survey_id"), "component_version", ["survey_id"], unique=False)
    op.add_column(
        "component", sa.Column("case_id", sa.Uuid(), nullable=True, comment="the change case that brought this version")
    )
    op.add_column(
        "component",
        sa.Column("valid_from", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.add_column("component", sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.add_column(
        "import_run", sa.Column("draft_id", sa.Uuid(), nullable=True, comment="the census draft this run checks")
    )
    op.alter_column(
        "import_run",
        "kind",
        existing_type=sa.TEXT(),
        comment="components | grids | cases | census",
        existing_comment="components | grids | cases",
        existing_nullable=False,
    )
    op.add_column(
        "survey",
        sa.Column(
            "made_by", sa.Text(), server_default="", nullable=False, comment="who published it; empty: an import"
        ),
    )
    op.add_column("survey", sa.Column("note", sa.Text(), server_default="", nullable=False))
    op.add_column("survey", sa.Column("reverts", sa.Uuid(), nullable=True, comment="the survey this one takes back"))
    for statement in KEEPING:
        op.execute(statement)


def downgrade() -> None:
    """Take the change back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER keep_version ON component")
    op.execute("DROP FUNCTION keep_component_version()")
    op.drop_column("survey", "reverts")
    op.drop_column("survey", "note")
    op.drop_column("survey", "made_by")
    op.alter_column(
        "import_run",
        "kind",
        existing_type=sa.TEXT(),
        comment="components | grids | cases",
        existing_comment="components | grids | cases | census",
        existing_nullable=False,
    )
    op.drop_column("import_run", "draft_id")
    op.drop_column("component", "version")
    op.drop_column("component", "valid_from")
    op.drop_column("component", "case_id")
    op.drop_index(op.f("ix_component_version_survey_id"), table_name="component_version")
    op.drop_table("component_version")
    op.drop_table("component_photo")
    op.drop_table("census_sample_row")
    op.drop_index(op.f("ix_census_sample_draft_id"), table_name="census_sample")
    op.drop_table("census_sample")
    op.drop_table("census_row")
    op.drop_table("census_repair")
    op.drop_index(op.f("ix_census_finding_draft_id_code_number"), table_name="census_finding")
    op.drop_table("census_finding")
    op.drop_table("census_draft")
    op.drop_index("ix_census_difference_geom", table_name="census_difference", postgresql_using="gist")
    op.drop_index(op.f("ix_census_difference_draft_id_kind_number"), table_name="census_difference")
    op.drop_table("census_difference")
