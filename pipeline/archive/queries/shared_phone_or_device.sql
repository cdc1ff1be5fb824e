-- One phone or device for many users
-- Phone numbers and authenticator devices that more than one user has enrolled or used for MFA, the most users first.
-- parameters: since, until=now, since, until=now, since, until=now, since, until=now, minimum=2, limit
-- finding: kind, value
SELECT
  kind,
  value,
  count(DISTINCT user_id) AS users,
  array_join(slice(array_sort(array_distinct(array_agg(user_id))), 1, 10), ', ') AS first_users,
  min("date") AS first_seen,
  max("date") AS last_seen
FROM (
  SELECT 'phone' AS kind, target_phone AS value, coalesce(user_id, target_user_id) AS user_id, "date"
  FROM tenant_logs
  WHERE regexp_like(type, '^gd_')
    AND target_phone IS NOT NULL
    AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
    AND dt || 'T' || hour BETWEEN ? AND ?
  UNION ALL
  SELECT 'device' AS kind, json_extract_scalar(details, '$.device_id') AS value, coalesce(user_id, target_user_id) AS user_id, "date"
  FROM tenant_logs
  WHERE regexp_like(type, '^gd_')
    AND json_extract_scalar(details, '$.device_id') IS NOT NULL
    AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
    AND dt || 'T' || hour BETWEEN ? AND ?
) AS uses
WHERE user_id IS NOT NULL
GROUP BY kind, value
HAVING count(DISTINCT user_id) >= ?
ORDER BY users DESC, kind, value
LIMIT ?
