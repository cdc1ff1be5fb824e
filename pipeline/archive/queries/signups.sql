-- Sign-ups by day and connection
-- Successful sign-ups and failed ones, newest day first.
-- parameters: since, limit
SELECT
  CAST("date" AS date) AS day,
  connection,
  count_if(type = 'ss') AS signups,
  count_if(type = 'fs') AS failed
FROM tenant_logs
WHERE type IN ('ss', 'fs')
  AND dt >= ?
GROUP BY 1, 2
ORDER BY day DESC, signups DESC, connection
LIMIT ?
