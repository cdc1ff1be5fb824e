-- Code in the login flow changed
-- Actions, rules, hooks, flows and custom database scripts created, changed, deployed, bound or deleted, newest first.
-- parameters: since, until=now, since, until=now, limit
-- finding: log_id
SELECT
  "date",
  description,
  actor,
  actor_name,
  client_id,
  channel,
  ip,
  http_method,
  http_path,
  json_extract_scalar(details, '$.request.body.name') AS name,
  log_id
FROM tenant_logs
WHERE type = 'sapi'
  AND (
    regexp_like(http_path, '^/api/v2/(actions|rules|rules-configs|hooks|flows|forms)(/|$)')
    OR (
      regexp_like(http_path, '^/api/v2/connections(/|$)')
      AND json_extract(details, '$.request.body.options.customScripts') IS NOT NULL
    )
  )
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
