-- Users changed most often
-- The users that the Management API changed most often, and the application that did, busiest first.
-- parameters: since, until=now, since, until=now, limit
SELECT
  target_user_id,
  client_id,
  client_name,
  count(*) AS changes,
  min("date") AS first_seen,
  max("date") AS last_seen
FROM tenant_logs
WHERE target_user_id IS NOT NULL
  AND type = 'sapi'
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
GROUP BY target_user_id, client_id, client_name
ORDER BY changes DESC, target_user_id, client_id
LIMIT ?
