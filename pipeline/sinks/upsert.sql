-- Applies one change per user, each only if it is newer than the row that is there.
-- Parameter: a JSON array of snapshots and tombstones as pipeline.changes encodes them, sorted by user_id so that
-- concurrent writers lock rows in the same order. Returns the ids of the rows that were written.
--
-- The user's JSON is Auth0's, so nothing in it may fail the row unless Postgres cannot store it at all: a value that
-- does not fit its typed column is NULL there (in a text column, it is its JSON text) and stays as it is in `profile`.
-- A value that its column holds exactly is stored there alone; the view `users` puts the profile together again.
-- A tombstone has no profile, which clears every column but the order's.
INSERT INTO auth0.user_rows AS stored (
    user_id, email, email_verified, username, phone_number, name, nickname, given_name, family_name, picture,
    connection, blocked, last_ip, last_login, logins_count, created_at, updated_at, deleted_at,
    user_metadata, app_metadata, profile, version, source, event_id, carried
)
SELECT
    change.user_id,
    -- Longer is no address, and would not fit the index.
    CASE WHEN length(usr.email #>> '{}') <= 320 THEN usr.email #>> '{}' END,
    -- Auth0 answers with text for users of some SAML connections and of Sign in with Apple, and its SDKs take that for any
    -- boolean (auth0/auth0.net #986 and #1015, auth0/auth0-flutter #309).
    CASE jsonb_typeof(usr.email_verified)
        WHEN 'boolean' THEN usr.email_verified::boolean
        WHEN 'string' THEN
            CASE lower(usr.email_verified #>> '{}') WHEN 'true' THEN true WHEN 'false' THEN false END
        END,
    usr.username #>> '{}',
    usr.phone_number #>> '{}',
    usr.name #>> '{}',
    usr.nickname #>> '{}',
    usr.given_name #>> '{}',
    usr.family_name #>> '{}',
    usr.picture #>> '{}',
    usr.identities #>> '{0,connection}',
    CASE jsonb_typeof(usr.blocked)
        WHEN 'boolean' THEN usr.blocked::boolean
        WHEN 'string' THEN CASE lower(usr.blocked #>> '{}') WHEN 'true' THEN true WHEN 'false' THEN false END
        END,
    usr.last_ip #>> '{}',
    -- A digit first, because 'now' is valid too.
    CASE WHEN usr.last_login >= '0' AND usr.last_login < ':' AND pg_input_is_valid(usr.last_login, 'timestamptz')
        THEN usr.last_login::timestamptz END,
    -- Text in auth0.net's model of a user.
    CASE jsonb_typeof(usr.logins_count)
        WHEN 'number' THEN
            CASE WHEN usr.logins_count::numeric BETWEEN 0 AND 9007199254740991 THEN usr.logins_count::bigint END
        WHEN 'string' THEN
            CASE WHEN usr.logins_count #>> '{}' ~ '^[0-9]{1,15}$' THEN (usr.logins_count #>> '{}')::bigint END
        END,
    CASE WHEN usr.created_at >= '0' AND usr.created_at < ':' AND pg_input_is_valid(usr.created_at, 'timestamptz')
        THEN usr.created_at::timestamptz END,
    change.updated_at,
    change.deleted_at,
    coalesce(usr.user_metadata, '{}'),
    coalesce(usr.app_metadata, '{}'),
    coalesce(
        change.profile - ARRAY[
            CASE WHEN jsonb_typeof(usr.email) = 'string' AND length(usr.email #>> '{}') <= 320 THEN 'email' END,
            CASE WHEN jsonb_typeof(usr.email_verified) = 'boolean' THEN 'email_verified' END,
            CASE WHEN jsonb_typeof(usr.username) = 'string' THEN 'username' END,
            CASE WHEN jsonb_typeof(usr.phone_number) = 'string' THEN 'phone_number' END,
            CASE WHEN jsonb_typeof(usr.name) = 'string' THEN 'name' END,
            CASE WHEN jsonb_typeof(usr.nickname) = 'string' THEN 'nickname' END,
            CASE WHEN jsonb_typeof(usr.given_name) = 'string' THEN 'given_name' END,
            CASE WHEN jsonb_typeof(usr.family_name) = 'string' THEN 'family_name' END,
            CASE WHEN jsonb_typeof(usr.picture) = 'string' THEN 'picture' END,
            CASE WHEN jsonb_typeof(usr.blocked) = 'boolean' THEN 'blocked' END,
            CASE WHEN jsonb_typeof(usr.last_ip) = 'string' THEN 'last_ip' END,
            -- The column of empty metadata does not tell whether there were any.
            CASE WHEN usr.user_metadata <> '{}' THEN 'user_metadata' END,
            CASE WHEN usr.app_metadata <> '{}' THEN 'app_metadata' END
        ],
        '{}'
    ),
    change.version,
    change.source,
    change.event_id,
    change.carried
FROM jsonb_to_recordset(%s::jsonb) AS change (
    user_id text, version text, source text, event_id text,
    updated_at timestamptz, deleted_at timestamptz, profile jsonb, carried jsonb
)
CROSS JOIN LATERAL jsonb_to_record(coalesce(change.profile, '{}')) AS usr (
    email jsonb, email_verified jsonb, username jsonb, phone_number jsonb, name jsonb, nickname jsonb,
    given_name jsonb, family_name jsonb, picture jsonb, identities jsonb, blocked jsonb, last_ip jsonb,
    last_login text, logins_count jsonb, created_at text, user_metadata jsonb, app_metadata jsonb
)
ON CONFLICT (user_id) DO UPDATE SET
    email = excluded.email,
    email_verified = excluded.email_verified,
    username = excluded.username,
    phone_number = excluded.phone_number,
    name = excluded.name,
    nickname = excluded.nickname,
    given_name = excluded.given_name,
    family_name = excluded.family_name,
    picture = excluded.picture,
    connection = excluded.connection,
    blocked = excluded.blocked,
    last_ip = excluded.last_ip,
    last_login = excluded.last_login,
    logins_count = excluded.logins_count,
    created_at = excluded.created_at,
    updated_at = excluded.updated_at,
    deleted_at = excluded.deleted_at,
    user_metadata = excluded.user_metadata,
    app_metadata = excluded.app_metadata,
    profile = excluded.profile,
    version = excluded.version,
    source = excluded.source,
    event_id = excluded.event_id,
    carried = excluded.carried,
    synced_at = now()
WHERE stored.version < excluded.version
RETURNING user_id
