-- Logins that followed many failures
-- Successful logins after many failed attempts within the hour before, on the same username: a guessed or stuffed password.
-- parameters: since, until=now, since, until=now, since, until=now, since, until=now, minimum=5, limit
-- finding: log_id
SELECT
  "date",
  user_id,
  user_name,
  failures,
  addresses,
  ip,
  country,
  client_name,
  connection,
  user_agent,
  log_id
FROM (
  SELECT
    won."date",
    won.user_id,
    won.user_name,
    won.ip,
    won.country,
    won.client_name,
    won.connection,
    won.user_agent,
    won.log_id,
    count(*) AS failures,
    count(DISTINCT lost.ip) AS addresses
  FROM login_attempts AS won
  JOIN login_attempts AS lost
    ON lost.user_name = won.user_name
    AND lost."date" < won."date"
    AND date_diff('minute', lost."date", won."date") < 60
  WHERE won.succeeded
    AND NOT lost.succeeded
    AND won.dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
    AND won.dt || 'T' || won.hour BETWEEN ? AND ?
    AND lost.dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
    AND lost.dt || 'T' || lost.hour BETWEEN ? AND ?
  GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
) AS logins
WHERE failures >= ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
