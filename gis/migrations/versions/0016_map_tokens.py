"""Tokens with which a person's map programs read the layers, and when a token was last used."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
_KINDS = "session | device | machine"


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("token", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("token", "kind", comment=f"{_KINDS} | map", existing_comment=_KINDS)
    op.drop_constraint(op.f("ck_token_kind"), "token", type_="check")
    op.create_check_constraint(op.f("ck_token_kind"), "token", "kind in ('session','device','machine','map')")


def downgrade() -> None:
    """Take the change back."""
    op.execute("delete from token where kind = 'map'")
    op.alter_column("token", "kind", comment=_KINDS, existing_comment=f"{_KINDS} | map")
    op.drop_constraint(op.f("ck_token_kind"), "token", type_="check")
    op.create_check_constraint(op.f("ck_token_kind"), "token", "kind in ('session','device','machine')")
    op.drop_column("token", "last_used_at")
