-- All that a user did and all that was done to them, newest first.
-- parameters: user_id, since, limit
SELECT
  "date",
  type,
  description,
  actor,
  actor_name,
  target_user_id,
  client_name,
  connection,
  ip,
  user_agent,
  http_method,
  http_path,
  log_id
FROM tenant_logs
WHERE ? IN (user_id, target_user_id)
  AND dt >= ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
