-- Logins from a new device
-- Successful logins with a TLS fingerprint (JA4), else a browser or program, that the user had not used before, as far back as
-- the question looks; the user's first login is left out. A fingerprint is that of a program's version, not of a person.
-- parameters: since, until=now, since, until=now, limit
-- finding: log_id
-- looks back: 30
SELECT
  "date",
  user_id,
  user_name,
  device,
  user_agent,
  ip,
  country,
  client_name,
  log_id,
  dt
FROM (
  SELECT
    *,
    row_number() OVER (PARTITION BY user_id, device ORDER BY "date", log_id) AS login_of_device,
    row_number() OVER (PARTITION BY user_id ORDER BY "date", log_id) AS login_of_user
  FROM (
    SELECT
      *,
      coalesce(ja4, user_agent) AS device
    FROM login_attempts
    WHERE succeeded
      AND user_id IS NOT NULL
      AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
      AND dt || 'T' || hour BETWEEN ? AND ?
  ) AS devices
  WHERE device IS NOT NULL
) AS logins
WHERE login_of_device = 1
  AND login_of_user > 1
ORDER BY "date" DESC, log_id DESC
LIMIT ?
