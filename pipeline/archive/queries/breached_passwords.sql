-- Breached passwords in use
-- Attempts to log in, sign up or reset with a password that is known from a breach, newest first.
-- parameters: since, until=now, since, until=now, limit
-- finding: log_id
SELECT
  "date",
  type,
  description,
  user_id,
  coalesce(user_name, target_email) AS user_name,
  connection,
  client_name,
  ip,
  country,
  log_id
FROM tenant_logs
WHERE type IN ('pwd_leak', 'reset_pwd_leak', 'signup_pwd_leak')
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
