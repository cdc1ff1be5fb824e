-- SMS pumping
-- Text messages and voice calls by the first digits of the number, hour by hour, the most first: many to one prefix, answered by
-- few logins, cost you money and earn somebody else some.
-- parameters: since, until=now, since, until=now, minimum=20, limit
-- finding: hour_start, prefix
SELECT
  date_trunc('hour', "date") AS hour_start,
  substr(phone, 1, 7) AS prefix,
  count_if(sent) AS messages,
  count(DISTINCT phone) AS numbers,
  count(DISTINCT ip) AS addresses,
  count_if(type IN ('gd_send_sms_failure', 'gd_send_voice_failure', 'limit_phone')) AS failed,
  count_if(type IN ('gd_auth_succeed', 'gd_enrollment_complete')) AS verified
FROM (
  SELECT
    *,
    coalesce(target_phone, user_name) AS phone,
    type IN ('gd_send_sms', 'gd_send_voice', 'cs') AS sent
  FROM tenant_logs
  WHERE type IN (
      'gd_send_sms', 'gd_send_voice', 'cs', 'gd_send_sms_failure', 'gd_send_voice_failure', 'limit_phone', 'gd_auth_succeed',
      'gd_enrollment_complete'
    )
    AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
    AND dt || 'T' || hour BETWEEN ? AND ?
) AS logs
WHERE phone LIKE '+%'
GROUP BY 1, 2
HAVING count_if(sent) >= ?
ORDER BY messages DESC, hour_start DESC, prefix
LIMIT ?
