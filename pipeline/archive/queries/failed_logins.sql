-- Failed logins by address
-- Failed and blocked attempts to log in by address, the busiest first: how many, on how many accounts, from when to when.
-- parameters: since, until=now, since, until=now, limit
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
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
GROUP BY ip
ORDER BY attempts DESC, ip
LIMIT ?
