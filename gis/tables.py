"""Every table, as SQLAlchemy Core. Knows shapes and validity rules; knows no statements.

Geometry is EPSG:4490 (CGCS2000 longitude, latitude). Times are ``timestamptz``. Case-family tables are keyed by
``case_id`` first and share no cross-case uniqueness, so they can be distributed by it.
"""

from geoalchemy2 import Geometry
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import UserDefinedType

SRID = 4490

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id: what makes a feed page by snapshot horizon."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """The type's name in DDL."""
        return "xid8"


def _geometry(kind: str, *, nullable: bool = False) -> Column[object]:
    return Column("geom", Geometry(kind, srid=SRID, spatial_index=False), nullable=nullable)


def _time(name: str, *, nullable: bool = True, comment: str | None = None) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, comment=comment)


def _now(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


# --- The town ---------------------------------------------------------------------------------------------------

division = Table(
    "division",
    metadata,
    Column("code", Text, primary_key=True, comment="12-digit statistical code"),
    Column("level", Text, nullable=False, comment="district | township | village"),
    Column("name", Text, nullable=False),
    Column("short_name", Text, nullable=False),
    Column("parent", Text),
    Column("synthetic", Boolean, nullable=False, server_default=text("false"), comment="boundary is invented"),
    Column("valid_from", Date, nullable=False),
    Column("valid_to", Date),
    _geometry("MULTIPOLYGON", nullable=True),
    CheckConstraint("level in ('district','township','village')", name="level"),
    Index("ix_division_geom", "geom", postgresql_using="gist"),
)

unit_grid = Table(
    "unit_grid",
    metadata,
    Column("code", Text, primary_key=True, comment="15 digits 6+3+3+3; a retired code is never used again"),
    Column("village_code", Text, nullable=False),
    Column("area_class", Text, nullable=False, comment="A core, B general, C other: sets time limits"),
    Column("land_use", Text, nullable=False, server_default=""),
    Column("area_m2", Double, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("valid_to", Date),
    _geometry("POLYGON"),
    CheckConstraint("code ~ '^[0-9]{15}$'", name="code"),
    CheckConstraint("area_class in ('A','B','C')", name="area_class"),
    Index("ix_unit_grid_geom", "geom", postgresql_using="spgist"),
    Index(None, "village_code"),
)

duty_grid = Table(
    "duty_grid",
    metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("village_code", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("valid_to", Date),
    _geometry("MULTIPOLYGON"),
    Index("ix_duty_grid_geom", "geom", postgresql_using="gist"),
)

duty_grid_member = Table(
    "duty_grid_member",
    metadata,
    Column("unit_grid_code", Text, ForeignKey("unit_grid.code"), primary_key=True),
    Column("duty_grid_code", Text, ForeignKey("duty_grid.code"), nullable=False, index=True),
)

unit_grid_lineage = Table(
    "unit_grid_lineage",
    metadata,
    Column("old_code", Text, primary_key=True),
    Column("new_code", Text, primary_key=True),
    Column("share", Double, nullable=False, comment="of the old grid's land that the new one got"),
    Column("valid_from", Date, nullable=False),
    CheckConstraint("share > 0 and share <= 1.000001", name="share"),
    Index(None, "new_code"),
    comment="what became of ended unit grids, by land",
)

grid_plan = Table(
    "grid_plan",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("valid_from", Date, nullable=False),
    Column("steps", JSONB, nullable=False, comment="as drafted, gis.grid_plan"),
    Column(
        "changes", JSONB, nullable=False, comment="codes opened and ended, memberships, names, nodes put into borders"
    ),
    Column("published_by", Text, nullable=False),
    _now("published_at"),
    Column("note", Text, nullable=False, server_default=""),
    _time("taken_at"),
    _time("withdrawn_at"),
    comment="published grid plans; one waits for its day until it is taken",
)

basemap_feature = Table(
    "basemap_feature",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("layer", Text, nullable=False, comment="road | water | green | parcel | building"),
    Column("kind", Text, nullable=False, server_default="", comment="class within the layer, such as trunk or lane"),
    Column("name", Text, nullable=False, server_default=""),
    _geometry("GEOMETRY"),
    Index("ix_basemap_feature_geom", "geom", postgresql_using="gist"),
)

place = Table(
    "place",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False, comment="poi | address"),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False, server_default=""),
    Column("search", Text, nullable=False, comment="name, address, pinyin and initials, lower case"),
    _geometry("POINT"),
    Index("ix_place_geom", "geom", postgresql_using="gist"),
)

# --- The census -------------------------------------------------------------------------------------------------

survey = Table(
    "survey",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False, comment="file name or generator"),
    Column("crs", Text, nullable=False, comment="coordinate system the data came in"),
    Column("catalogue", Text, nullable=False),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _now("recorded_at"),
    Column("made_by", Text, nullable=False, server_default="", comment="who published it; empty: an import"),
    Column("note", Text, nullable=False, server_default=""),
    Column("reverts", Uuid, comment="the survey this one takes back"),
)


def _surveyed() -> list[Column[object]]:
    """What is known of a component at one time."""
    return [
        Column("catalogue", Text, nullable=False),
        Column("category_code", Text, nullable=False, comment="4 digits; ambiguous without the catalogue"),
        Column("name", Text, nullable=False),
        Column("state", Text, nullable=False, server_default="intact", comment="intact|damaged|lost|abandoned|removed"),
        Column("unit_grid_code", Text, nullable=False),
        Column("village_code", Text, nullable=False),
        Column("competent_unit", Text, nullable=False, server_default="", comment="主管部门 department code"),
        Column("owner_unit", Text, nullable=False, server_default="", comment="权属单位 department code"),
        Column("maintenance_unit", Text, nullable=False, server_default="", comment="养护单位 department code"),
        Column("accuracy_class", Text, nullable=False, server_default="A", comment="A 0.5 m, B 1 m, C 10 m"),
        Column("survey_id", Uuid, ForeignKey("survey.id"), nullable=False),
        Column("surveyed_on", Date),
        Column("changed_on", Date),
        Column("source_code", Text, nullable=False, server_default="", comment="identifier in the source file"),
        Column("lon", Double, nullable=False, comment="of the representative point"),
        Column("lat", Double, nullable=False),
        Column("mk", BigInteger, nullable=False, comment="Morton code, gis.geometry.morton"),
        Column("properties", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
        _geometry("GEOMETRY"),
        Column("case_id", Uuid, comment="the change case that brought this version"),
        _now("valid_from"),
    ]


component = Table(
    "component",
    metadata,
    Column("code", Text, primary_key=True, comment="16 digits 6+2+2+6"),
    *_surveyed(),
    Column("version", Integer, nullable=False, server_default=text("1")),
    CheckConstraint("code ~ '^[0-9]{16}$'", name="code"),
    CheckConstraint("state in ('intact','damaged','lost','abandoned','removed')", name="state"),
    Index("ix_component_geom", "geom", postgresql_using="gist"),
    Index(None, "mk"),
    Index(None, "unit_grid_code"),
    Index(None, "category_code"),
)

component_version = Table(
    "component_version",
    metadata,
    Column("code", Text, primary_key=True),
    *_surveyed(),
    Column("version", Integer, primary_key=True),
    _time("valid_to", nullable=False),
    Index(None, "survey_id"),
    comment="append-only: what a component was before; a trigger on component writes it",
)

component_photo = Table(
    "component_photo",
    metadata,
    Column("code", Text, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("mime", Text, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("case_id", Uuid, comment="the change case it came with"),
    Column("by", Text, nullable=False),
    _now("added_at"),
)

census_draft = Table(
    "census_draft",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("file", Text, nullable=False),
    Column("path", Text, nullable=False, comment="the kept upload, deleted when the draft has ended"),
    Column("mapping", Text, nullable=False, comment="a name or YAML text"),
    Column("state", Text, nullable=False, server_default="open", comment="open | refused | published | withdrawn"),
    Column("removal", Text, nullable=False, server_default="surveyed", comment="surveyed | none: what absence means"),
    Column("revision", Integer, nullable=False, server_default=text("0"), comment="counts every check"),
    Column("run_id", Uuid, comment="the last check asked for"),
    Column("source", Text, nullable=False, server_default=""),
    Column("crs", Text, nullable=False, server_default=""),
    Column("told", ARRAY(Text), nullable=False, server_default=text("'{}'"), comment="fields the survey speaks of"),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("problem", JSONB, comment="why the whole file is refused"),
    Column("made_by_id", Uuid),
    Column("made_by", Text, nullable=False),
    _now("made_at"),
    _time("checked_at"),
    Column("survey_id", Uuid, comment="what it was published as"),
    Column("ended_by", Text, nullable=False, server_default=""),
    _time("ended_at"),
    Column("note", Text, nullable=False, server_default=""),
    CheckConstraint("state in ('open','refused','published','withdrawn')", name="state"),
    CheckConstraint("removal in ('surveyed','none')", name="removal"),
    comment="a survey before it is published: its file, its mapping and its repairs; all else is derived from them",
)

census_repair = Table(
    "census_repair",
    metadata,
    Column("draft_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", Text, nullable=False, comment="of gis.census_repairs.KINDS"),
    Column("field", Text, nullable=False, server_default=""),
    Column("items", JSONB, nullable=False, comment="row → value, or raw value → value meant"),
    Column("finding", Text, nullable=False, server_default="", comment="code of the findings it answers"),
    Column("by", Text, nullable=False),
    _now("made_at"),
)

census_row = Table(
    "census_row",
    metadata,
    Column("draft_id", Uuid, primary_key=True),
    Column("row", Integer, primary_key=True, comment="as a reader of the file calls it"),
    Column("identifier", Text, nullable=False),
    Column("code", Text, nullable=False, comment="empty: assigned when published"),
    Column("catalogue", Text, nullable=False),
    Column("category_code", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("unit_grid_code", Text, nullable=False),
    Column("village_code", Text, nullable=False),
    Column("competent_unit", Text, nullable=False),
    Column("owner_unit", Text, nullable=False),
    Column("maintenance_unit", Text, nullable=False),
    Column("accuracy_class", Text, nullable=False),
    Column("surveyed_on", Date),
    Column("changed_on", Date),
    Column("lon", Double),
    Column("lat", Double),
    Column("mk", BigInteger),
    Column("properties", JSONB, nullable=False),
    _geometry("GEOMETRY", nullable=True),
    Column("status", Text, nullable=False, comment="good | bad | excluded"),
    Column("received", JSONB, comment="as received, where it is not good"),
    CheckConstraint("status in ('good','bad','excluded')", name="status"),
)

census_finding = Table(
    "census_finding",
    metadata,
    Column("draft_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("row", Integer, nullable=False, comment="0: the whole file"),
    Column("identifier", Text, nullable=False),
    Column("code", Text, nullable=False, comment="problem code"),
    Column("severity", Text, nullable=False, comment="error: the row cannot be published | warning"),
    Column("field", Text, nullable=False, server_default=""),
    Column("zh", Text, nullable=False),
    Column("en", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("suggestion", JSONB, comment="{kind, field, value, zh, en}: a repair, or null"),
    CheckConstraint("severity in ('error','warning')", name="severity"),
    Index(None, "draft_id", "code", "number"),
)

census_difference = Table(
    "census_difference",
    metadata,
    Column("draft_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", Text, nullable=False, comment="added | moved | changed | removed"),
    Column("row", Integer, comment="null: not in the survey"),
    Column("code", Text, nullable=False, comment="empty: assigned when published"),
    Column("base_version", Integer, comment="of the published component it was compared with"),
    Column("catalogue", Text, nullable=False),
    Column("category_code", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("village_code", Text, nullable=False),
    Column("moved_m", Double),
    Column("changes", JSONB, nullable=False, server_default=text("'{}'::jsonb"), comment="field → [before, after]"),
    Column("geom", Geometry("GEOMETRY", srid=SRID, spatial_index=False), nullable=False, comment="point; line: moved"),
    CheckConstraint("kind in ('added','moved','changed','removed')", name="kind"),
    Index(None, "draft_id", "kind", "number"),
    Index("ix_census_difference_geom", "geom", postgresql_using="gist"),
)

census_sample = Table(
    "census_sample",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("draft_id", Uuid, nullable=False),
    Column("plan", Text, nullable=False),
    Column("plan_version", Integer, nullable=False),
    Column("revision", Integer, nullable=False, comment="of the draft it was drawn from"),
    Column("lot", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("accept", Integer, nullable=False, comment="as many bad ones are still accepted"),
    Column("seed", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="open", comment="open | accepted | rejected | discarded"),
    Column("drawn_by", Text, nullable=False),
    _now("drawn_at"),
    _time("ended_at"),
    Column("reason", Text, nullable=False, server_default="", comment="why it was discarded"),
    CheckConstraint("state in ('open','accepted','rejected','discarded')", name="state"),
    Index(None, "draft_id"),
)

census_sample_row = Table(
    "census_sample_row",
    metadata,
    Column("sample_id", Uuid, primary_key=True),
    Column("row", Integer, primary_key=True),
    Column("place", Integer, nullable=False, comment="order in which it was drawn"),
    Column("result", Text, comment="good | bad; null: not checked yet"),
    Column("faults", ARRAY(Text), nullable=False, server_default=text("'{}'"), comment="of gis.census_sampling.FAULTS"),
    Column("lon", Double, comment="as measured in the field"),
    Column("lat", Double),
    Column("error_m", Double),
    Column("note", Text, nullable=False, server_default=""),
    Column("photo", LargeBinary, comment="SHA-256"),
    Column("by", Text, nullable=False, server_default=""),
    _time("at"),
    CheckConstraint("result in ('good','bad')", name="result"),
)

# --- Definitions and people -------------------------------------------------------------------------------------

definition = Table(
    "definition",
    metadata,
    Column("kind", Text, primary_key=True, comment="catalogue, workflow, calendar, duty_list, …"),
    Column("code", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("body", JSONB, nullable=False),
    Column("digest", Text, nullable=False, comment="SM3 of the canonical body"),
    Column("valid_from", DateTime(timezone=True), nullable=False),
    Column("valid_to", DateTime(timezone=True)),
    Column("published_by", Text, nullable=False, server_default="system"),
    _now("published_at"),
    Column("note", Text, nullable=False, server_default="", comment="why it was published"),
    CheckConstraint("version > 0", name="version"),
)

definition_draft = Table(
    "definition_draft",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("revision", Integer, nullable=False, comment="counts every saving: who saves says which one they saw"),
    Column("base_version", Integer, nullable=False, comment="the newest version when the draft was begun; 0: none"),
    Column("body", JSONB, nullable=False),
    Column("by_id", Uuid),
    Column("by", Text, nullable=False),
    _now("updated_at"),
)

department = Table(
    "department",
    metadata,
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="command_centre | town_office | village | district_bureau | company"),
    Column("parent", Text),
    Column("active", Boolean, nullable=False, server_default=text("true")),
)

staff = Table(
    "staff",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("username", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("department_code", Text, ForeignKey("department.code"), nullable=False),
    Column("password_hash", Text, comment="Argon2id; null: cannot log in with a password"),
    Column("machine", Boolean, nullable=False, server_default=text("false"), comment="a platform, not a person"),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("failed_logins", SmallInteger, nullable=False, server_default=text("0")),
    _time("locked_until"),
    _now("created_at"),
)

staff_role = Table(
    "staff_role",
    metadata,
    Column("staff_id", Uuid, ForeignKey("staff.id"), primary_key=True),
    Column("role", Text, primary_key=True),
    Column("scope", Text, primary_key=True, comment="town | village | duty_grid | department | own"),
    Column("scope_code", Text, primary_key=True, server_default="", comment="code of the area or department"),
    CheckConstraint("scope in ('town','village','duty_grid','department','own')", name="scope"),
)

saved_filter = Table(
    "saved_filter",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("staff_id", Uuid, ForeignKey("staff.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("query", Text, nullable=False, comment="a case filter, gis.saved_filters.canonical"),
    Column(
        "columns", ARRAY(Text), nullable=False, server_default=text("'{}'"), comment="shown by the list; empty: its own"
    ),
    Column("shared", Boolean, nullable=False, server_default=text("false"), comment="others may use it"),
    Column("position", Integer, nullable=False),
    _now("made_at"),
)

shift = Table(
    "shift",
    metadata,
    Column("staff_id", Uuid, ForeignKey("staff.id"), primary_key=True),
    Column("starts_at", DateTime(timezone=True), primary_key=True),
    _time("ends_at", nullable=False),
    Column("duty_grid_code", Text),
    Column("role", Text, nullable=False, comment="the post stood on"),
    Column("note", Text, nullable=False, server_default=""),
    CheckConstraint("ends_at > starts_at", name="order"),
    Index(None, "starts_at"),
)

special_period = Table(
    "special_period",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("starts_on", Date, nullable=False),
    Column("ends_on", Date, nullable=False, comment="the last day, included"),
    Column("posts", JSONB, nullable=False, comment="required posts, as in a duty plan"),
    Column("note", Text, nullable=False, server_default=""),
    Column("made_by", Text, nullable=False),
    _now("made_at"),
    CheckConstraint("ends_on >= starts_on", name="order"),
    comment="important times (重要时刻) that ask for more people on duty",
)

handover = Table(
    "handover",
    metadata,
    Column("seq", BigInteger, primary_key=True, comment="place in the one chain"),
    Column("id", Uuid, nullable=False, comment="of the hand-over: one row gives, one signs"),
    Column("kind", Text, nullable=False, comment="given | signed"),
    Column("role", Text, nullable=False, comment="the post handed over"),
    Column("actor_id", Uuid, nullable=False),
    Column("actor", Text, nullable=False, comment="name as it was"),
    _time("at", nullable=False),
    Column("content", JSONB, nullable=False),
    Column("prev_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False, comment="SM3 of prev_hash and the canonical row"),
    UniqueConstraint("id", "kind"),
    CheckConstraint("kind in ('given','signed')", name="kind"),
    comment="append-only",
)

duty_log = Table(
    "duty_log",
    metadata,
    Column("id", Uuid, primary_key=True, comment="made by whoever wrote it"),
    _time("happened_at", nullable=False),
    _now("recorded_at"),
    Column("kind", Text, nullable=False, comment="phone|transfer|visit|meeting|incident|instruction|other"),
    Column("text", Text, nullable=False),
    Column("case_id", Uuid),
    Column("photo", LargeBinary, comment="SHA-256"),
    Column("follows", Uuid, ForeignKey("duty_log.id"), comment="the entry this one corrects or goes on with"),
    Column("actor_id", Uuid, nullable=False),
    Column("actor", Text, nullable=False, comment="name as it was"),
    CheckConstraint("kind in ('phone','transfer','visit','meeting','incident','instruction','other')", name="kind"),
    Index("ix_duty_log_happened", text("happened_at desc"), text("id desc")),
    comment="append-only: corrected only by an entry that follows",
)

running_report = Table(
    "running_report",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("period", Text, nullable=False, comment="day | week | month"),
    Column("since", Date, nullable=False),
    Column("until", Date, nullable=False, comment="the last day, included"),
    Column("body", JSONB, nullable=False),
    Column("digest", Text, nullable=False, comment="SM3 of the canonical body"),
    Column("made_by", Text, nullable=False),
    _now("made_at"),
    CheckConstraint("period in ('day','week','month')", name="period"),
    Index(None, "since"),
    comment="append-only: figures as they were when it was made",
)

device = Table(
    "device",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False, comment="phone | printer | camera | recorder"),
    Column("label", Text, nullable=False, unique=True, comment="what is stuck on it"),
    Column("key", Text, unique=True, comment="what the device calls itself when it sends or signs in"),
    Column("holder_id", Uuid, ForeignKey("staff.id")),
    Column("state", Text, nullable=False, server_default="stored", comment="stored | handed_out | lost | retired"),
    Column("note", Text, nullable=False, server_default=""),
    _now("changed_at"),
    CheckConstraint("kind in ('phone','printer','camera','recorder')", name="kind"),
    CheckConstraint("state in ('stored','handed_out','lost','retired')", name="state"),
    CheckConstraint("(state = 'handed_out') <= (holder_id is not null)", name="holder"),
)

token = Table(
    "token",
    metadata,
    Column("digest", LargeBinary, primary_key=True, comment="SHA-256 of the opaque token; the token is not kept"),
    Column("staff_id", Uuid, ForeignKey("staff.id"), nullable=False, index=True),
    Column("kind", Text, nullable=False, comment="session | device | machine | map"),
    Column("label", Text, nullable=False, server_default=""),
    _now("created_at"),
    _time("expires_at"),
    _time("revoked_at"),
    _time("last_used_at"),
    CheckConstraint("kind in ('session','device','machine','map')", name="kind"),
)

# --- Cases ------------------------------------------------------------------------------------------------------

case = Table(
    "case",
    metadata,
    Column("id", Uuid, primary_key=True, comment="made by whoever first had the case"),
    Column("number", Text, nullable=False, comment="human number, RH20261120-000123"),
    Column("query_code", Text, nullable=False, comment="lets a reporter follow the case"),
    Column("kind", Text, nullable=False, comment="case kind: case, hotline, whistle, …"),
    Column("channel", Text, nullable=False),
    Column("catalogue", Text, nullable=False),
    Column("category_kind", Text, nullable=False, comment="component | event"),
    Column("category_code", Text, nullable=False),
    Column("condition_code", Text, nullable=False, server_default="", comment="row of the filing standard"),
    Column("severity", SmallInteger, nullable=False, server_default=text("1"), comment="1 normal, 2 serious, 3 urgent"),
    Column("component_code", Text),
    Column("description", Text, nullable=False, server_default=""),
    Column("address", Text, nullable=False, server_default=""),
    Column("lon", Double, nullable=False),
    Column("lat", Double, nullable=False),
    Column("mk", BigInteger, nullable=False, comment="Morton code, gis.geometry.morton"),
    Column("h3", BigInteger, nullable=False, comment="h3 cell at resolution 12"),
    Column("village_code", Text, nullable=False),
    Column("unit_grid_code", Text, nullable=False),
    Column("duty_grid_code", Text, nullable=False),
    Column("area_class", Text, nullable=False),
    Column("department_code", Text, comment="the department that owns it: proposed by routing, fixed by dispatch"),
    Column("co_departments", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("routing", JSONB, nullable=False, comment="rule id and trace"),
    Column("workflow", Text, nullable=False),
    Column("workflow_version", Integer, nullable=False),
    Column("versions", JSONB, nullable=False, comment="versions of the other definitions the case began with"),
    Column("state", Text, nullable=False),
    Column("stage", Text, nullable=False, comment="report|acceptance|filing|dispatch|handling|feedback|check|closing"),
    Column("status", Text, nullable=False, comment="open | closed | void"),
    Column("assignee_id", Uuid, comment="the one person expected to act, where there is one"),
    Column("reporter_id", Uuid, comment="staff member who reported it"),
    Column("clock", JSONB, nullable=False, server_default=text("'{}'::jsonb"), comment="limits and pauses"),
    _time("occurred_at", nullable=False),
    _time("reported_at", nullable=False),
    _time("accepted_at"),
    _time("filed_at"),
    _time("dispatched_at"),
    _time("handled_at"),
    _time("checked_at"),
    _time("closed_at"),
    _time("voided_at"),
    _time("due_at"),
    _time("yellow_at"),
    _time("overdue_at"),
    _time("stage_due_at"),
    _time("stage_yellow_at"),
    Column("next_due_at", DateTime(timezone=True), comment="of the stage, else of the running handling clock"),
    Column("wake_at", DateTime(timezone=True), comment="when the state's timer acts"),
    Column("supervised_at", DateTime(timezone=True), comment="when it was put under supervision"),
    Column("exempted_at", DateTime(timezone=True), comment="when an appeal took it out of the department's figures"),
    Column("awaits", ARRAY(Text), nullable=False, server_default=text("'{}'"), comment="roles expected to act"),
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'"), comment="campaigns and other marks"),
    Column("parent_id", Uuid, comment="the case this one was opened for"),
    Column("merged_into", Uuid, comment="the case that goes on in its place"),
    Column("facts", JSONB, nullable=False, server_default=text("'{}'::jsonb"), comment="what actions told and kept"),
    Column("rework_count", SmallInteger, nullable=False, server_default=text("0")),
    Column("return_count", SmallInteger, nullable=False, server_default=text("0")),
    Column("extension_count", SmallInteger, nullable=False, server_default=text("0")),
    Column("urge_count", SmallInteger, nullable=False, server_default=text("0")),
    Column("appeal_count", SmallInteger, nullable=False, server_default=text("0")),
    Column("simulated", Boolean, nullable=False, server_default=text("false")),
    Column("content_digest", LargeBinary, nullable=False, comment="of the report as sent: same id, other content"),
    Column("seq", Integer, nullable=False, comment="sequence of the last event"),
    Column("last_hash", LargeBinary, nullable=False, comment="hash of the last event"),
    Column("extra", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    _now("updated_at"),
    CheckConstraint("category_kind in ('component','event')", name="category_kind"),
    CheckConstraint("status in ('open','closed','void')", name="status"),
    CheckConstraint("area_class in ('A','B','C')", name="area_class"),
    Index("ix_case_reported", text("reported_at desc"), text("id desc")),
    Index("ix_case_due", "due_at", postgresql_where=text("status = 'open'")),
    Index("ix_case_state", "state", text("reported_at desc"), text("id desc")),
    Index("ix_case_department", "department_code", text("reported_at desc"), text("id desc")),
    Index("ix_case_grid", "unit_grid_code", text("reported_at desc")),
    Index("ix_case_village", "village_code", text("reported_at desc"), text("id desc")),
    Index("ix_case_duty_grid", "duty_grid_code", text("reported_at desc"), text("id desc")),
    Index("ix_case_category", "category_kind", "category_code", text("reported_at desc"), text("id desc")),
    Index("ix_case_reporter", "reporter_id", text("reported_at desc"), text("id desc")),
    Index("ix_case_supervised", "supervised_at", postgresql_where=text("supervised_at is not null")),
    Index("ix_case_urged", "urge_count", postgresql_where=text("urge_count > 0")),
    Index("ix_case_wake", "wake_at", postgresql_where=text("wake_at is not null")),
    Index("ix_case_next_due", text("coalesce(next_due_at, 'infinity')"), "id"),
    Index("ix_case_assignee", "assignee_id", postgresql_where=text("assignee_id is not null")),
    Index("ix_case_parent", "parent_id", postgresql_where=text("parent_id is not null")),
    Index("ix_case_merged", "merged_into", postgresql_where=text("merged_into is not null")),
    Index("ix_case_tags", "tags", postgresql_using="gin", postgresql_where=text("tags <> '{}'")),
    Index("ix_case_words", text("bigrams(description, address)"), postgresql_using="gin"),
    Index(None, "component_code"),
    Index(None, "number"),
    Index(None, "query_code"),
    Index(None, "mk"),
)

case_task = Table(
    "case_task",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False, comment="of gis.case_tasks.KINDS"),
    Column("state", Text, nullable=False, server_default="open", comment="open | done | cancelled"),
    Column("department_code", Text),
    Column("assignee_id", Uuid),
    Column("note", Text, nullable=False, server_default=""),
    Column("opened_seq", Integer, nullable=False, comment="the event that opened it"),
    _time("opened_at", nullable=False),
    _time("due_at"),
    Column("closed_seq", Integer),
    _time("closed_at"),
    Column("result", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    CheckConstraint("state in ('open','done','cancelled')", name="state"),
    Index("ix_case_task_department", "department_code", "kind", postgresql_where=text("state = 'open'")),
    Index("ix_case_task_assignee", "assignee_id", "kind", postgresql_where=text("state = 'open'")),
    comment="what somebody has to do for a case beside its state; changed only by an act",
)

case_code = Table(
    "case_code",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("code", Text, primary_key=True, comment="what the channel calls the case"),
    Index(None, "code"),
)

case_person = Table(
    "case_person",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("field", Text, primary_key=True, comment="field of the form it was told in"),
    Column("sealed", LargeBinary, nullable=False, comment="SM4-GCM, bound to case and field"),
    Column("subject", LargeBinary, comment="pseudonym: the same for the same telephone number"),
    Index("ix_case_person_subject", "subject", postgresql_where=text("subject is not null")),
    comment="personal data of callers: all that is kept of it, so that deleting these rows forgets them",
)

intake_exception = Table(
    "intake_exception",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False, comment="blocked: reports are refused | commitment: material was promised"),
    Column("subject", LargeBinary, nullable=False, comment="pseudonym of the telephone number"),
    Column("case_id", Uuid, comment="the case the material was promised for"),
    Column("reason", Text, nullable=False),
    Column("until", Date, nullable=False, comment="last day it holds, or on which the material is due"),
    Column("by_id", Uuid),
    Column("by", Text, nullable=False),
    _now("created_at"),
    _time("lifted_at"),
    Column("lifted_by", Text, nullable=False, server_default=""),
    Column("lift_reason", Text, nullable=False, server_default=""),
    CheckConstraint("kind in ('blocked','commitment')", name="kind"),
    Index(None, "subject"),
    Index("ix_intake_exception_case_id", "case_id", postgresql_where=text("case_id is not null")),
    comment="who is not listened to until when, and who has promised what until when",
)

case_event = Table(
    "case_event",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("id", BigInteger, Identity(), nullable=False, comment="feed position; commits out of order, see xid"),
    Column("xid", Xid8, nullable=False, server_default=text("pg_current_xact_id()")),
    Column("action", Text, nullable=False),
    Column("from_state", Text, comment="null: the report itself"),
    Column("to_state", Text, nullable=False),
    Column("actor_id", Uuid, comment="null: the system or an anonymous reporter"),
    Column("actor", Text, nullable=False, comment="name as it was"),
    Column("role", Text, nullable=False),
    _time("happened_at", nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    Column("lon", Double),
    Column("lat", Double),
    Column("payload", JSONB, nullable=False),
    Column("prev_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False, comment="SM3 of prev_hash and the canonical event"),
    Index(None, "xid", "id"),
    Index("ix_case_event_recorded", "recorded_at", postgresql_using="brin"),
    comment="append-only: history, audit, sync feed and outbox in one",
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("consumer", Text, nullable=False),
    Column("case_id", Uuid, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    _now("next_at"),
    Column("dead", Boolean, nullable=False, server_default=text("false"), comment="gave up; shown to operators"),
    Column("error", Text),
    Index("ix_delivery_next", "consumer", "id", postgresql_where=text("not dead")),
    comment="what a consumer still has to take; written with the event, deleted when done",
)

stuck_timer = Table(
    "stuck_timer",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("kind", Text, primary_key=True, comment="overdue | timer"),
    _time("due_at", nullable=False, comment="the limit or timer of the case it was for"),
    Column("attempts", Integer, nullable=False),
    _time("since", nullable=False, comment="of the first refusal"),
    _time("next_at", nullable=False),
    Column("error", Text, nullable=False),
    CheckConstraint("kind in ('overdue','timer')", name="kind"),
    comment="what time alone should have done with a case and was refused; deleted when done or no longer due",
)

attachment = Table(
    "attachment",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("sha256", LargeBinary, primary_key=True),
    Column("purpose", Text, primary_key=True, comment="before | after | check | other"),
    Column("mime", Text, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("seq", Integer, nullable=False, comment="the event that brought it"),
    _time("taken_at"),
)

case_digest = Table(
    "case_digest",
    metadata,
    Column("day", Date, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False, comment="SM3 over the day's event hashes and the digest before"),
    _now("made_at"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source", Text, nullable=False, comment="channel, platform or file"),
    Column("kind", Text, nullable=False, comment="case | component | grid | position"),
    Column("code", Text, nullable=False, comment="problem code"),
    Column("reason", Text, nullable=False),
    Column("payload", JSONB, nullable=False, comment="as received"),
    Column("state", Text, nullable=False, server_default="waiting", comment="waiting | repaired | rejected"),
    _now("received_at"),
    Index(None, "state", "id"),
)

# --- Tracks -----------------------------------------------------------------------------------------------------

position = Table(
    "position",
    metadata,
    Column("inspector_id", Uuid, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("lon", Double, nullable=False),
    Column("lat", Double, nullable=False),
    Column("accuracy_m", Double),
    Column("crs", Text, nullable=False, server_default="EPSG:4490", comment="coordinate system it was sent in"),
    _now("received_at"),
    Column("clock_s", Integer, comment="added to the device's own moment; null: nothing"),
    Index(None, "inspector_id", "at"),
    postgresql_partition_by="RANGE (at)",
)

position_live = Table(
    "position_live",
    metadata,
    Column("inspector_id", Uuid, primary_key=True),
    _time("at", nullable=False),
    Column("lon", Double, nullable=False),
    Column("lat", Double, nullable=False),
    Column("accuracy_m", Double),
    Column("unit_grid_code", Text),
    Column("duty_grid_code", Text),
    Column("village_code", Text),
)

track_look = Table(
    "track_look",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _now("at"),
    Column("actor_id", Uuid, nullable=False),
    Column("actor", Text, nullable=False, comment="name as it was"),
    Column("inspector_id", Uuid, nullable=False, comment="whose track"),
    Column("day", Date, nullable=False, comment="which day of theirs"),
    Column("what", Text, nullable=False, comment="history | replay | gpx | import"),
    Column("why", Text, nullable=False, comment="a reason of the track rule"),
    Column("note", Text, nullable=False, server_default=""),
    Column("exact", Boolean, nullable=False, comment="false: no more than the coarse view"),
    Index(None, "inspector_id", "at"),
    comment="append-only: who looked at whose track of which day, and why",
)

patrol_day = Table(
    "patrol_day",
    metadata,
    Column("inspector_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("stale", Boolean, nullable=False, comment="fixes came since it was worked out"),
    _time("worked_out_at"),
    _time("coarse_at", nullable=True),
    Column("fixes", Integer, nullable=False, server_default=text("0")),
    Column("marks", JSONB, nullable=False, server_default=text("'{}'::jsonb"), comment="fixes by reason"),
    Column("own_grids", ARRAY(Text), nullable=False, server_default=text("'{}'"), comment="duty grids of that day"),
    Column("distance_m", Double, nullable=False, server_default=text("0")),
    Column("recorded_s", Double, nullable=False, server_default=text("0"), comment="between fixes without a gap"),
    Column("outside_s", Double, nullable=False, server_default=text("0"), comment="of it, outside the own grids"),
    Column("on_duty_s", Double, comment="by the duty calendar; null: no shift that day"),
    Column("unknown_s", Double, comment="of it, without a track"),
    Column("late", Integer, nullable=False, server_default=text("0"), comment="batches that came after coarsening"),
    Index("ix_patrol_day_stale", "day", postgresql_where=text("stale")),
    Index(None, "day"),
    comment="what a person's track of a day comes to; worked out from positions, and again when some come late",
)

patrol_grid = Table(
    "patrol_grid",
    metadata,
    Column("inspector_id", Uuid, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("unit_grid_code", Text, primary_key=True),
    Column("seen", LargeBinary, nullable=False, comment="one bit for each 10 m cell of the grid's rectangle"),
    Column("dwell_s", Double, nullable=False),
    _time("last_at"),
    Index(None, "day"),
    comment="which cells of a unit grid a person saw on a day; last_at is null when only from over the border",
)

patrol_ground = Table(
    "patrol_ground",
    metadata,
    Column("day", Date, primary_key=True),
    Column("unit_grid_code", Text, primary_key=True),
    Column("seen", LargeBinary, nullable=False),
    Column("dwell_s", Double, nullable=False),
    Column("people", Integer, nullable=False),
    _time("last_at"),
    comment="the same of everybody together, kept after the persons' tracks were coarsened",
)

# --- Derived ----------------------------------------------------------------------------------------------------

measure_case = Table(
    "measure_case",
    metadata,
    Column("case_id", Uuid, primary_key=True),
    Column("measure", Text, primary_key=True),
    Column("day", Date, nullable=False),
    Column("unit_grid_code", Text, nullable=False),
    Column("village_code", Text, nullable=False),
    Column("department_code", Text, nullable=False, server_default=""),
    Column("n", Integer, nullable=False),
    Index(None, "measure", "day", "unit_grid_code"),
    comment="what each case adds to which figure: the roll-up's memory and the list behind every number",
)

measure_day = Table(
    "measure_day",
    metadata,
    Column("measure", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("unit_grid_code", Text, primary_key=True),
    Column("department_code", Text, primary_key=True),
    Column("village_code", Text, nullable=False),
    Column("n", BigInteger, nullable=False),
    Index(None, "measure", "village_code", "day"),
)

import_run = Table(
    "import_run",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False, comment="components | grids | cases | census"),
    Column("file", Text, nullable=False),
    Column("state", Text, nullable=False, comment="queued | running | done | refused"),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("errors", JSONB, nullable=False, server_default=text("'[]'::jsonb"), comment="first rows refused"),
    Column("started_by", Text, nullable=False),
    Column("path", Text, nullable=False, server_default="", comment="the kept upload, deleted when the run has ended"),
    Column("mapping", Text, nullable=False, server_default="", comment="a name or YAML text; empty: the default"),
    Column("attempts", SmallInteger, nullable=False, server_default=text("0")),
    _time("heartbeat"),
    _now("started_at"),
    _time("ended_at"),
    Column("draft_id", Uuid, comment="the census draft this run checks"),
)

workflow_move = Table(
    "workflow_move",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("source", Text, nullable=False, comment="workflow the cases ran on"),
    Column("source_version", Integer, nullable=False),
    Column("target", Text, nullable=False),
    Column("target_version", Integer, nullable=False),
    Column("states", JSONB, nullable=False, comment="state of the source → state of the target"),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False, comment="running | stopped | done"),
    Column("started_by_id", Uuid),
    Column("started_by", Text, nullable=False),
    _now("started_at"),
    _time("ended_at"),
    CheckConstraint("state in ('running','stopped','done')", name="state"),
    comment="running cases moved to another version of their workflow",
)

workflow_move_case = Table(
    "workflow_move_case",
    metadata,
    Column("move_id", Uuid, primary_key=True),
    Column("case_id", Uuid, primary_key=True),
    Column("outcome", Text, nullable=False, server_default="waiting", comment="waiting | moved | refused"),
    Column("from_state", Text),
    Column("to_state", Text),
    Column("problem", JSONB, comment="why it was refused"),
    Column("seq", Integer, comment="the event that moved it"),
    Column("tries", SmallInteger, nullable=False, server_default=text("0")),
    _time("at"),
    CheckConstraint("outcome in ('waiting','moved','refused')", name="outcome"),
    Index("ix_workflow_move_case_waiting", "move_id", postgresql_where=text("outcome = 'waiting'")),
)

# --- What people keep on the map --------------------------------------------------------------------------------

preference = Table(
    "preference",
    metadata,
    Column("staff_id", Uuid, primary_key=True),
    Column("name", Text, primary_key=True, comment="what it is about, such as wall.layers"),
    Column("value", JSONB, nullable=False),
    _now("changed_at"),
    comment="how somebody has set up their pages, on whatever device",
)

sketch = Table(
    "sketch",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("owner_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("shared", Boolean, nullable=False, server_default=text("false"), comment="everybody may see it"),
    Column("features", JSONB, nullable=False, comment="GeoJSON FeatureCollection, EPSG:4490 degrees"),
    Column("version", Integer, nullable=False, server_default=text("1"), comment="raised by every change"),
    _now("created_at"),
    _now("changed_at"),
    _time("deleted_at"),
    Index("ix_sketch_owner", "owner_id"),
    comment="what somebody drew on the map",
)

sketch_version = Table(
    "sketch_version",
    metadata,
    Column("sketch_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("features", JSONB, nullable=False),
    _now("changed_at"),
    comment="a sketch as it was in each version",
)

panorama = Table(
    "panorama",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column(
        "heading", Double, nullable=False, server_default=text("0"), comment="where the picture's middle looks, degrees"
    ),
    Column("sha256", LargeBinary, comment="the equirectangular picture; none: drawn from the town's ground"),
    Column("synthetic", Boolean, nullable=False, server_default=text("false")),
    _time("taken_at"),
    Column("made_by", Text, nullable=False),
    _now("made_at"),
    _time("deleted_at"),
    _geometry("POINT"),
    Index("ix_panorama_geom", "geom", postgresql_using="gist"),
    CheckConstraint("synthetic or sha256 is not null", name="picture"),
    comment="pictures all around, at a place",
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _now("at"),
    Column("actor_id", Uuid),
    Column("actor", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("result", Text, nullable=False, comment="ok | refused"),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    comment="append-only",
)

town = Table(
    "town",
    metadata,
    Column("code", Text, primary_key=True, comment="9-digit township code"),
    Column("name", Text, nullable=False),
    Column("number_prefix", Text, nullable=False),
    Column("synthetic", Boolean, nullable=False),
    Column("catalogue", Text, nullable=False, comment="catalogue new cases and components are coded in"),
    Column("seed", BigInteger),
    Column("digest", Text, nullable=False, server_default="", comment="SM3 over the loaded town"),
    Column("areas_version", BigInteger, nullable=False, server_default=text("1"), comment="raised when areas change"),
    _now("loaded_at"),
)
