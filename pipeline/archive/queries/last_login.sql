-- Last login of a user
-- The last successful login, by whatever way: browser, password grant, native social login or another exchange.
-- parameters: user_id, since, until=now, since, until=now
SELECT
  "date",
  type,
  connection,
  client_id,
  client_name,
  ip,
  country,
  user_agent,
  log_id
FROM login_attempts
WHERE succeeded
  AND user_id = ?
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
ORDER BY "date" DESC, log_id DESC
LIMIT 1
