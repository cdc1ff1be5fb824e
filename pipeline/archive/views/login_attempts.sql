-- Each attempt to log in once. About one attempt Auth0 may write two logs, milliseconds apart: that of the login (such as
-- fp) and that of the exchange or the protection around it (such as fepft or limit_wc). The second counts only alone.
SELECT
  "date",
  succeeded,
  type IN ('limit_mu', 'limit_sul', 'limit_wc', 'pwd_leak') OR coalesce(
    type_after IN ('limit_mu', 'limit_sul', 'limit_wc', 'pwd_leak') AND date_diff('millisecond', "date", date_after) <= 1000,
    FALSE
  ) AS blocked,
  type,
  description,
  user_id,
  user_name,
  coalesce(user_id, user_name) AS account,
  client_id,
  client_name,
  connection,
  ip,
  user_agent,
  country,
  city,
  latitude,
  longitude,
  ja4,
  log_id,
  dt,
  hour
FROM (
  SELECT
    *,
    lag(type) OVER attempts AS type_before,
    lag("date") OVER attempts AS date_before,
    lead(type) OVER attempts AS type_after,
    lead("date") OVER attempts AS date_after
  FROM (
    SELECT
      "date",
      type IN (
        's', 'scoa', 'sens', 'sepft', 'seotpft', 'seoobft', 'sercft', 'sepkotpft', 'sepkoobft', 'sepkrcft', 'sdel', 'sede', 'ciba_exchange_succeeded'
      ) AS succeeded,
      type,
      description,
      user_id,
      lower(user_name) AS user_name,
      client_id,
      client_name,
      connection,
      ip,
      user_agent,
      country,
      city,
      latitude,
      longitude,
      ja4,
      log_id,
      dt,
      hour
    FROM tenant_logs
    WHERE type IN (
      's', 'scoa', 'sens', 'sepft', 'seotpft', 'seoobft', 'sercft', 'sepkotpft', 'sepkoobft', 'sepkrcft', 'sdel', 'sede', 'ciba_exchange_succeeded',
      'f', 'fp', 'fu', 'fcoa', 'fens', 'fepft', 'feotpft', 'feoobft', 'fercft', 'fepotpft', 'fede', 'ciba_exchange_failed',
      'limit_mu', 'limit_sul', 'limit_wc', 'pwd_leak'
    )
  ) AS logs
  WINDOW attempts AS (PARTITION BY dt, ip, user_name, succeeded ORDER BY "date", log_id)
) AS ordered
WHERE NOT coalesce(
  type NOT IN ('s', 'f', 'fp', 'fu')
  AND type_before IN ('s', 'f', 'fp', 'fu')
  AND date_diff('millisecond', date_before, "date") <= 1000,
  FALSE
)
