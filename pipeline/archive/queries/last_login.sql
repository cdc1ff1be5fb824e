-- Last login of a user
-- The last successful login, by whatever way: browser, password grant, native social login or another exchange.
-- parameters: user_id, since
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
  AND dt >= ?
ORDER BY "date" DESC, log_id DESC
LIMIT 1
