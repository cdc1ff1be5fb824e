-- Impossible travel
-- Two successful logins of one user that are further apart than anybody travels in the time between (the speed is in
-- kilometres an hour, from the locations that Auth0 tells). It knows addresses, not people: VPNs, proxies and mobile networks
-- give false alarms, and a login without a location is not seen.
-- parameters: since, until=now, since, until=now, speed=900, limit
-- finding: log_id
SELECT
  "date",
  user_id,
  user_name,
  date_before,
  city_before,
  country_before,
  city,
  country,
  CAST(distance_km AS integer) AS distance_km,
  CAST(distance_km / (greatest(seconds, 1) / 3600.0) AS integer) AS km_per_hour,
  ip_before,
  ip,
  log_id
FROM (
  SELECT
    *,
    date_diff('second', date_before, "date") AS seconds,
    2 * 6371 * asin(least(1.0, sqrt(
      power(sin(radians(latitude - latitude_before) / 2), 2)
      + cos(radians(latitude_before)) * cos(radians(latitude)) * power(sin(radians(longitude - longitude_before) / 2), 2)
    ))) AS distance_km
  FROM (
    SELECT
      *,
      lag("date") OVER logins AS date_before,
      lag(city) OVER logins AS city_before,
      lag(country) OVER logins AS country_before,
      lag(latitude) OVER logins AS latitude_before,
      lag(longitude) OVER logins AS longitude_before,
      lag(ip) OVER logins AS ip_before
    FROM login_attempts
    WHERE succeeded
      AND user_id IS NOT NULL
      AND latitude BETWEEN -90 AND 90
      AND longitude BETWEEN -180 AND 180
      AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
      AND dt || 'T' || hour BETWEEN ? AND ?
    WINDOW logins AS (PARTITION BY user_id ORDER BY "date", log_id)
  ) AS pairs
) AS journeys
WHERE distance_km > 100
  AND distance_km / (greatest(seconds, 1) / 3600.0) > ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
