"""Words anywhere in a case's description or address are found by their pairs of characters."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Chinese has no spaces to tell words by, and the trigrams of PostgreSQL find no word of two characters.
_BIGRAMS = """
    CREATE FUNCTION bigrams(one text, other text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT coalesce(array_agg(DISTINCT pair), '{}') FROM (
            SELECT substr(one, i, 2) AS pair FROM generate_series(1, length(one) - 1) i
            UNION ALL SELECT substr(other, i, 2) FROM generate_series(1, length(other) - 1) i
        ) pairs
    $$
"""


def upgrade() -> None:
    """Make the change."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_BIGRAMS)
    op.execute('CREATE INDEX ix_case_words ON "case" USING gin (bigrams(description, address))')


def downgrade() -> None:
    """Take the change back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_case_words", table_name="case")
    op.execute("DROP FUNCTION bigrams(text, text)")
