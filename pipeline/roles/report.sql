-- What others have of auth0-sync, and what its roles have that roles.sql could not take away. One line each.
WITH ours AS (
    SELECT oid FROM pg_roles
    WHERE rolname IN ('auth0_migrator', 'auth0_writer', 'auth0_reader', 'auth0_query', 'auth0_readers')
)
SELECT format('%s is a member of %s', member::regrole, roleid::regrole) AS line
FROM pg_auth_members
WHERE roleid IN (TABLE ours) AND member NOT IN (TABLE ours) AND (inherit_option OR set_option)
    AND NOT (roleid = 'auth0_readers'::regrole AND member = current_user::regrole)
UNION
SELECT format('%s is a member of %s', member::regrole, roleid::regrole)
FROM pg_auth_members
WHERE member IN (TABLE ours)
    AND (admin_option OR (roleid::regrole::text, member::regrole::text) NOT IN (
        ('auth0_readers', 'auth0_reader'), ('auth0_readers', 'auth0_query'),
        ('rds_iam', 'auth0_migrator'), ('rds_iam', 'auth0_writer'), ('rds_iam', 'auth0_reader')
    ))
UNION
SELECT format('%s owns %s', relowner::regrole, pg_class.oid::regclass)
FROM pg_class
WHERE relnamespace = to_regnamespace('auth0') AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND relowner <> 'auth0_migrator'::regrole
UNION
SELECT format('%s owns function %s', proowner::regrole, pg_proc.oid::regprocedure)
FROM pg_proc
WHERE pronamespace = to_regnamespace('auth0') AND proowner <> 'auth0_migrator'::regrole
UNION
SELECT format('%s may %s %s', coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC'), privilege_type, relation)
FROM (
    SELECT pg_class.oid::regclass AS relation, relacl AS acl FROM pg_class WHERE relnamespace = to_regnamespace('auth0')
    UNION ALL
    SELECT pg_class.oid::regclass, attacl
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = to_regnamespace('auth0')
) AS relations
CROSS JOIN LATERAL aclexplode(acl)
WHERE grantee NOT IN (TABLE ours)
UNION
SELECT format('%s owns %s large objects', lomowner::regrole, count(*))
FROM pg_largeobject_metadata WHERE lomowner IN (TABLE ours) GROUP BY lomowner
ORDER BY 1
