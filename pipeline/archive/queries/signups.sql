-- Sign-ups by day and connection
-- Successful sign-ups and failed ones, newest day first.
-- parameters: since, until=now, since, until=now, limit
SELECT
  CAST("date" AS date) AS day,
  connection,
  count_if(type = 'ss') AS signups,
  count_if(type = 'fs') AS failed
FROM tenant_logs
WHERE type IN ('ss', 'fs')
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
GROUP BY 1, 2
ORDER BY day DESC, signups DESC, connection
LIMIT ?
