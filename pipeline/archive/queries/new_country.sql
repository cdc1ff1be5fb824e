-- Logins from a new country
-- Successful logins from a country from which the user had not logged in before, as far back as the question looks; the
-- user's first login is left out. Auth0 tells the location of some logs only: a login without one is not seen, and an
-- address of a proxy counts as the proxy's country.
-- parameters: since, until=now, since, until=now, limit
-- finding: log_id
-- looks back: 30
SELECT
  "date",
  user_id,
  user_name,
  country,
  city,
  countries_before,
  ip,
  client_name,
  log_id,
  dt
FROM (
  SELECT
    *,
    row_number() OVER (PARTITION BY user_id, country ORDER BY "date", log_id) AS login_from_country,
    array_agg(country) OVER (
      PARTITION BY user_id ORDER BY "date", log_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS earlier,
    array_join(array_sort(array_distinct(array_agg(country) OVER (
      PARTITION BY user_id ORDER BY "date", log_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ))), ', ') AS countries_before
  FROM login_attempts
  WHERE succeeded
    AND user_id IS NOT NULL
    AND country IS NOT NULL
    AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
    AND dt || 'T' || hour BETWEEN ? AND ?
) AS logins
WHERE login_from_country = 1
  AND earlier IS NOT NULL
ORDER BY "date" DESC, log_id DESC
LIMIT ?
