-- What a user did, and what was done to the user
-- Every log that names the user as actor or as target, newest first.
-- parameters: user_id, since, until=now, since, until=now, limit
-- finding: log_id
SELECT
  "date",
  type,
  description,
  actor,
  actor_name,
  target_user_ids,
  client_name,
  connection,
  ip,
  user_agent,
  http_method,
  http_path,
  log_id
FROM tenant_logs
WHERE contains(target_user_ids || ARRAY[user_id], ?)
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
