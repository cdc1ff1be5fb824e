-- Exports and deletions in bulk
-- Exports and imports of users, and callers that deleted many things in an hour, newest first.
-- parameters: since, until=now, since, until=now, minimum=10, limit
-- finding: hour_start, operation, actor
SELECT
  date_trunc('hour', "date") AS hour_start,
  CASE WHEN http_method = 'delete' THEN 'deletions' ELSE regexp_extract(http_path, '^/api/v2/jobs/([^/?]+)', 1) END AS operation,
  actor,
  min(actor_name) AS actor_name,
  count(*) AS calls,
  count(DISTINCT target_user_id) AS users,
  min(ip) AS ip,
  min("date") AS first_call,
  max("date") AS last_call
FROM tenant_logs
WHERE type = 'sapi'
  AND (http_method = 'delete' OR regexp_like(http_path, '^/api/v2/jobs/users-(exports|imports)'))
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
GROUP BY 1, 2, actor
HAVING count(*) >= ? OR count_if(http_method <> 'delete') > 0
ORDER BY hour_start DESC, calls DESC, actor
LIMIT ?
