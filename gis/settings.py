"""Every setting of a Wangge service, with its meaning. Knows nothing of what uses them."""

from functools import lru_cache
from pathlib import Path

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
DEMO_SECRET = "demo-secret-change-me"


class Settings(BaseSettings):
    """Read from the environment as ``WANGGE_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="WANGGE_", extra="ignore")

    home: Path = Field(ROOT / ".wangge", description="Where private servers, files, logs and bench results live.")
    port: int = Field(8000, ge=1, le=65535, description="TCP port of the API, the wall and the phone app.")
    host: str = Field("127.0.0.1", description="Address the API listens on; 0.0.0.0 for all.")
    database_url: str | None = Field(
        None, description="postgresql://… of a server to use; empty: a private PostgreSQL child in WANGGE_HOME."
    )
    owner_database_url: str | None = Field(
        None, description="postgresql://… of the schema's owner, for migrations; empty: the same as database_url."
    )
    redis_url: str | None = Field(None, description="redis://… of a server to use; empty: a private Redis child.")
    data_dir: Path = Field(ROOT / "data", description="Definitions and demo towns: configuration, not code.")
    secret: str = Field(DEMO_SECRET, description="Key of pseudonyms and callers' data once kept; set it at once.")
    demo: bool = Field(False, description="Demo town with printed logins; the only mode that allows the demo secret.")
    web_workers: int = Field(1, ge=1, le=64, description="API processes; each holds its own copy of the point store.")
    upload_limit_mb: int = Field(100, ge=1, description="Largest accepted upload; larger ones are refused early.")
    tile_cache_mb: int = Field(64, ge=0, description="Memory for finished map tiles, each API process; 0: none kept.")
    map_hosts: str = Field(
        "",
        pattern=r"^[A-Za-z0-9.,:\-\[\] ]*$",
        description="Hosts that basemap tiles may be fetched from, with commas; empty: the service asks no other.",
    )
    map_tokens: str = Field("", description="Keys of basemap sources as name=key, with commas; never sent to a page.")
    map_cache_mb: int = Field(512, ge=0, description="Disk for basemap tiles fetched or drawn; 0: none kept.")
    session_hours: int = Field(12, ge=1, description="Life of a desk login.")
    wall_days: int = Field(30, ge=1, description="How long a wall that stays open keeps its login.")
    embed_origin: str = Field(
        "",
        pattern=r"^(https?://[A-Za-z0-9.-]+(:\d+)?)?$",
        description="Origin of the district platform that may show /desk/intake?embed=1 in a frame; empty: nobody.",
    )

    @model_validator(mode="after")
    def refuse_demo_secret(self) -> "Settings":
        """A service for real work never starts with the published key."""
        if self.database_url and not self.demo and self.secret == DEMO_SECRET:
            raise ValueError("WANGGE_SECRET is the published demo key; set your own or set WANGGE_DEMO=1")
        return self


@lru_cache
def settings() -> Settings:
    """The process's settings, read once."""
    return Settings()  # type: ignore[call-arg]
