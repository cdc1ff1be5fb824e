-- Push fatigue
-- Users who were sent many push notifications within an hour, and how many they rejected or approved: somebody has the password
-- and hopes for a careless tap.
-- parameters: since, until=now, since, until=now, minimum=5, limit
-- finding: hour_start, user_id
SELECT
  user_id,
  date_trunc('hour', "date") AS hour_start,
  count_if(type = 'gd_send_pn') AS sent,
  count_if(type = 'gd_auth_rejected') AS rejected,
  count_if(type = 'gd_auth_failed') AS failed,
  count_if(type = 'gd_auth_succeed') AS approved,
  array_join(array_sort(array_distinct(array_agg(ip))), ', ') AS addresses
FROM tenant_logs
WHERE type IN ('gd_send_pn', 'gd_auth_rejected', 'gd_auth_failed', 'gd_auth_succeed')
  AND user_id IS NOT NULL
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
GROUP BY 1, 2
HAVING count_if(type = 'gd_send_pn') >= ? OR count_if(type = 'gd_auth_rejected') >= 3
ORDER BY sent DESC, hour_start DESC, user_id
LIMIT ?
