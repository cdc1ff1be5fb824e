-- Accounts under attack
-- Accounts with many failed attempts to log in, the most attempts first: from how many addresses, and whether anybody got in.
-- parameters: since, until=now, since, until=now, minimum=10, limit
-- finding: account
SELECT
  account,
  count_if(NOT succeeded) AS failures,
  count(DISTINCT CASE WHEN NOT succeeded THEN ip END) AS addresses,
  count_if(blocked) AS blocked,
  count_if(succeeded) AS successes,
  min(CASE WHEN NOT succeeded THEN "date" END) AS first_failure,
  max(CASE WHEN NOT succeeded THEN "date" END) AS last_failure,
  max(CASE WHEN succeeded THEN "date" END) AS last_success
FROM login_attempts
WHERE account IS NOT NULL
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
GROUP BY account
HAVING count_if(NOT succeeded) >= ?
ORDER BY failures DESC, account
LIMIT ?
