-- Attack protection changed or switched off
-- Changes of bot detection, breached password detection, brute-force protection and suspicious IP throttling, newest first.
-- parameters: since, until=now, since, until=now, limit
-- finding: log_id
SELECT
  "date",
  description,
  actor,
  actor_name,
  ip,
  http_method,
  http_path,
  json_extract_scalar(details, '$.request.body.enabled') AS enabled,
  json_format(json_extract(details, '$.request.body')) AS request,
  log_id
FROM tenant_logs
WHERE type = 'sapi'
  AND regexp_like(http_path, '^/api/v2/(attack-protection|anomaly|risk-assessments|network-acls)(/|$)')
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
