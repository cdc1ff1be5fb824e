-- Who changed a user through the Management API, when, from where and how; newest first.
-- parameters: user_id, since, limit
SELECT
  "date",
  actor,
  actor_name,
  client_id,
  channel,
  ip,
  http_method,
  http_path,
  http_status,
  description,
  json_format(json_extract(details, '$.request.body')) AS request,
  log_id
FROM tenant_logs
WHERE target_user_id = ?
  AND dt >= ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
