-- Records versions of users' metadata, each once: a version that is there already came from the same event.
-- Parameter: a JSON array of history entries as pipeline.changes encodes them, sorted by user_id and version so that
-- concurrent writers meet rows in the same order. What the event has in place of a text is kept as its JSON text;
-- metadata that it does not carry are NULL.
INSERT INTO auth0.user_history (
    user_id, version, changed_at, deleted_at, user_metadata, app_metadata, actor, client_id, channel, ip, source, event_id
)
SELECT
    user_id, version, changed_at, deleted_at, user_metadata, app_metadata,
    actor, client_id, channel, ip, source, event_id
FROM jsonb_to_recordset(%s::jsonb) AS entry (
    user_id text, version text, changed_at timestamptz, deleted_at timestamptz, user_metadata jsonb, app_metadata jsonb,
    actor text, client_id text, channel text, ip text, source text, event_id text
)
ON CONFLICT (user_id, version) DO NOTHING
RETURNING user_id
