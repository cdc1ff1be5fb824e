-- Everything that an administrator did
-- Calls of the Management API by a person (user id or e-mail address) or by an application (client id), newest first.
-- parameters: admin, admin, since, until=now, since, until=now, limit
-- finding: log_id
SELECT
  "date",
  type,
  description,
  actor,
  actor_email,
  client_id,
  channel,
  ip,
  http_method,
  http_path,
  http_status,
  target_user_ids,
  json_format(json_extract(details, '$.request.body')) AS request,
  log_id
FROM tenant_logs
WHERE http_path IS NOT NULL
  AND (contains(ARRAY[user_id, client_id], ?) OR lower(actor_email) = lower(?))
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
