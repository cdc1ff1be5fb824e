"""Statements that change a view of schema `auth0`, whatever columns its owner has given it."""

_CHANGE = """
DO $$
DECLARE
    view CONSTANT regclass DEFAULT 'auth0.{view}';
    definition CONSTANT text DEFAULT pg_get_viewdef(view);
    changed CONSTANT text DEFAULT regexp_replace(definition, {pattern}, {replacement});
    rights text[];
    statement text;
    dependents text;
BEGIN
    IF changed = definition THEN
        RAISE EXCEPTION '{view} would stay as it is: %', definition;
    END IF;
    BEGIN
        EXECUTE 'CREATE OR REPLACE VIEW auth0.{view} AS ' || changed;
        RETURN;
    EXCEPTION WHEN invalid_table_definition THEN
        -- Postgres only adds columns at the end of a view. Others take a new view, with the rights of the old one.
    END;
    SELECT array_agg(format(
        'GRANT %s%s ON auth0.{view} TO %s%s',
        privilege_type,
        ' (' || quote_ident(attname) || ')',
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END
    )) INTO rights
    FROM (
        SELECT NULL AS attname, relowner, relacl AS acl FROM pg_class WHERE oid = view
        UNION ALL
        SELECT attname, relowner, attacl FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE attrelid = view AND attacl IS NOT NULL
    ) AS relation
    CROSS JOIN LATERAL aclexplode(acl)
    WHERE grantee <> relowner;
    DROP VIEW auth0.{view};
    EXECUTE 'CREATE VIEW auth0.{view} AS ' || changed;
    FOREACH statement IN ARRAY coalesce(rights, '{{}}') LOOP
        EXECUTE statement;
    END LOOP;
EXCEPTION WHEN dependent_objects_still_exist THEN
    GET STACKED DIAGNOSTICS dependents = PG_EXCEPTION_DETAIL;
    RAISE EXCEPTION '{view} cannot be made anew while other views are on it: %', dependents
        USING HINT = 'Drop these views, migrate, and create them again.';
END $$
"""


def changed(view: str, pattern: str, replacement: str) -> str:
    """Return the statement that replaces the match of a regular expression in a view's definition.

    The definition is what `pg_get_viewdef` prints. The view keeps its other columns and the rights on it. Views on it
    stay if the statement only adds columns at its end; else it fails, and names them.
    """
    return _CHANGE.format(view=view, pattern=_literal(pattern), replacement=_literal(replacement))


def with_column(view: str, column: str) -> str:
    """Return the statement that adds a column of `user_rows` to the end of a view."""
    return changed(view, r"(?=\n   FROM (auth0\.)?user_rows)", f",\n    {column}")


def without_column(view: str, column: str) -> str:
    """Return the statement that takes back `with_column`."""
    return changed(view, rf",\n    {column}(?=,?\n)", "")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
