-- Sign-ups in bulk
-- Addresses with many sign-ups, tried or successful, in one hour, the most first: how many got in, with how many e-mail domains.
-- parameters: since, until=now, since, until=now, minimum=5, limit
-- finding: hour_start, ip
SELECT
  date_trunc('hour', "date") AS hour_start,
  ip,
  count(*) AS tried,
  count_if(type = 'ss') AS succeeded,
  count(DISTINCT coalesce(target_email, target_phone, target_username, user_name)) AS accounts,
  count(DISTINCT regexp_extract(target_email, '@(.+)$', 1)) AS domains,
  count(DISTINCT user_agent) AS programs,
  min(country) AS country
FROM tenant_logs
WHERE type IN ('ss', 'fs', 'signup_pwd_leak')
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
GROUP BY 1, 2
HAVING count(*) >= ?
ORDER BY tried DESC, hour_start DESC, ip
LIMIT ?
