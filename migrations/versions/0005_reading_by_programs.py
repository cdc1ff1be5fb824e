"""Indexes for programs that read: joins by ``user_id``, and what has changed since.

The column ``user_id`` compares bytewise, and so would a reader's column that it is compared with, whose own index then
is of no use. So ``live_users`` shows it in the database's collation, and an index has it in that collation too. It is a
new view, because no view's column can change its collation; what was granted on the old one is granted again.

A BRIN index keeps the updates in their page (HOT), which an index of another kind on these columns would end.

Revision: 0005
Follows: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BYTEWISE, DEFAULT = "SELECT user_id,", 'SELECT (user_id COLLATE "default") AS user_id,'

REPLACE = """
    DO $$
    DECLARE
        definition text := pg_get_viewdef('auth0.live_users'::regclass);
        rights text[];
        statement text;
        dependents text;
    BEGIN
        SELECT array_agg(format(
            'GRANT %s%s ON auth0.live_users TO %s%s',
            privilege_type,
            ' (' || quote_ident(attname) || ')',
            CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
            CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END
        )) INTO rights
        FROM (
            SELECT NULL AS attname, relowner, relacl AS acl FROM pg_class WHERE oid = 'auth0.live_users'::regclass
            UNION ALL
            SELECT attname, relowner, attacl FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE attrelid = 'auth0.live_users'::regclass AND attacl IS NOT NULL
        ) AS relation
        CROSS JOIN LATERAL aclexplode(acl)
        WHERE grantee <> relowner;
        DROP VIEW auth0.live_users;
        EXECUTE 'CREATE VIEW auth0.live_users AS ' || replace(definition, '{before}', '{after}');
        FOREACH statement IN ARRAY coalesce(rights, '{{}}') LOOP
            EXECUTE statement;
        END LOOP;
    EXCEPTION WHEN dependent_objects_still_exist THEN
        GET STACKED DIAGNOSTICS dependents = PG_EXCEPTION_DETAIL;
        RAISE EXCEPTION 'live_users cannot be made anew while other views are on it: %', dependents
            USING HINT = 'Drop these views, migrate, and create them again.';
    END $$
"""

INDEXES = {
    "ix_users_user_id": 'auth0.users (user_id COLLATE "default")',
    "ix_users_synced_at_updated_at": (
        "auth0.users USING brin (synced_at, updated_at) WITH (pages_per_range = 8, autosummarize = on)"
    ),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS auth0.{name}")  # of an attempt that failed
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")
    op.execute(REPLACE.format(before=BYTEWISE, after=DEFAULT))


def downgrade() -> None:
    op.execute(REPLACE.format(before=DEFAULT, after=BYTEWISE))
    for name in INDEXES:
        op.execute(f"DROP INDEX auth0.{name}")
