-- Failed logins by address
-- Failed and blocked attempts to log in by address, the busiest first: how many, on how many accounts, from when to when.
-- parameters: since, limit
SELECT
  ip,
  count(*) AS attempts,
  count(DISTINCT account) AS accounts,
  count_if(blocked) AS blocked,
  min(country) AS country,
  min("date") AS first_seen,
  max("date") AS last_seen
FROM login_attempts
WHERE NOT succeeded
  AND dt >= ?
GROUP BY ip
ORDER BY attempts DESC, ip
LIMIT ?
