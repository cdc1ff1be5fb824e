-- Each event of an Event Stream once.
SELECT
  stream_event_id,
  json_extract_scalar(detail, '$.type') AS type,
  CAST(try(from_iso8601_timestamp(json_extract_scalar(detail, '$.time'))) AT TIME ZONE 'UTC' AS timestamp(3)) AS "date",
  coalesce(json_extract_scalar(object, '$.user_id'), json_extract_scalar(object, '$.user.user_id')) AS user_id,
  coalesce(
    json_extract_scalar(object, '$.organization.id'),
    CASE WHEN json_extract_scalar(detail, '$.type') LIKE 'organization.%' THEN json_extract_scalar(object, '$.id') END
  ) AS organization_id,
  lower(json_extract_scalar(object, '$.email')) AS email,
  CAST(try(from_iso8601_timestamp(json_extract_scalar(object, '$.updated_at'))) AT TIME ZONE 'UTC' AS timestamp(3)) AS updated_at,
  json_extract_scalar(detail, '$.data.context.client.id') AS client_id,
  json_extract_scalar(detail, '$.data.context.request.ip') AS ip,
  json_format(object) AS object,
  json_format(json_extract(detail, '$.data.previous_object')) AS previous_object,
  json_format(json_extract(detail, '$.data.context')) AS context,
  json_extract_scalar(detail, '$.a0tenant') AS tenant,
  json_extract_scalar(detail, '$.a0stream') AS stream_id,
  json_extract_scalar(detail, '$.a0purpose') AS purpose,
  event_id,
  CAST(try(from_iso8601_timestamp(delivered)) AT TIME ZONE 'UTC' AS timestamp(3)) AS delivered_at,
  dt,
  hour
FROM (
  SELECT
    *,
    json_extract(detail, '$.data.object') AS object,
    row_number() OVER (PARTITION BY dt, coalesce(stream_event_id, event_id) ORDER BY delivered, event_id) AS delivery
  FROM (
    SELECT
      nullif(json_extract_scalar(line, '$.detail.id'), '') AS stream_event_id,
      json_extract(line, '$.detail') AS detail,
      json_extract_scalar(line, '$.id') AS event_id,
      json_extract_scalar(line, '$.time') AS delivered,
      dt,
      hour
    FROM lines
    WHERE json_extract_scalar(line, '$.source') LIKE '%/auth0.events'
      OR json_extract(line, '$.detail.data.object') IS NOT NULL
  ) AS events
) AS deliveries
WHERE delivery = 1
