-- Dormant users
-- Users who logged in successfully, but not for so many days, the longest first. It knows only who logged in since the first day
-- that it looks at: for users who never did, ask Postgres.
-- parameters: since, until=now, since, until=now, days=90, limit
SELECT
  user_id,
  min(user_name) AS user_name,
  max("date") AS last_login,
  date_diff('day', max("date"), CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3))) AS days,
  count(*) AS logins
FROM login_attempts
WHERE succeeded
  AND user_id IS NOT NULL
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
GROUP BY user_id
HAVING date_diff('day', max("date"), CAST(current_timestamp AT TIME ZONE 'UTC' AS timestamp(3))) >= ?
ORDER BY last_login, user_id
LIMIT ?
