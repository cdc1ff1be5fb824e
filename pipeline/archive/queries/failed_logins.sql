-- Failed and blocked logins by address, the busiest first: how many, on how many accounts, from when to when.
-- parameters: since, limit
SELECT
  ip,
  count(*) AS attempts,
  count(DISTINCT user_name) AS accounts,
  count_if(type IN ('limit_wc', 'limit_mu', 'limit_sul', 'pwd_leak')) AS blocked,
  min("date") AS first_seen,
  max("date") AS last_seen
FROM tenant_logs
WHERE type IN ('f', 'fp', 'fu', 'fcoa', 'fens', 'fepft', 'limit_wc', 'limit_mu', 'limit_sul', 'pwd_leak')
  AND dt >= ?
GROUP BY ip
ORDER BY attempts DESC, ip
LIMIT ?
