-- Refresh tokens used again
-- Exchanges of a rotated refresh token that had been used already: it may have been stolen. Newest first.
-- parameters: since, until=now, since, until=now, limit
-- finding: log_id
SELECT
  "date",
  user_id,
  user_name,
  client_id,
  client_name,
  ip,
  country,
  user_agent,
  json_extract_scalar(details, '$.familyId') AS token_family,
  description,
  log_id
FROM tenant_logs
WHERE type = 'ferrt'
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
