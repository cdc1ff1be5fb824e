-- Each tenant log once. Everything is read from the line's text, so that no field's type can fail a query.
SELECT
  log_id,
  type,
  CAST(try(from_iso8601_timestamp(json_extract_scalar(data, '$.date'))) AT TIME ZONE 'UTC' AS timestamp(3)) AS "date",
  json_extract_scalar(data, '$.description') AS description,
  user_id,
  user_name,
  json_extract_scalar(data, '$.identity_user_id') AS identity_user_id,
  coalesce(user_id, client_id) AS actor,
  coalesce(
    json_extract_scalar(request, '$.auth.user.email'),
    json_extract_scalar(request, '$.auth.user.name'),
    user_name,
    client_name
  ) AS actor_name,
  json_extract_scalar(request, '$.auth.user.email') AS actor_email,
  element_at(targets, 1) AS target_user_id,
  targets AS target_user_ids,
  lower(coalesce(
    json_extract_scalar(response, '$.body.email'),
    json_extract_scalar(request, '$.body.email'),
    json_extract_scalar(request, '$.body.invitee.email'),
    json_extract_scalar(request, '$.query.email'),
    json_extract_scalar(details, '$.body.email'),
    json_extract_scalar(details, '$.query.email'),
    json_extract_scalar(details, '$.email'),
    json_extract_scalar(details, '$.invitation.invitee.email'),
    regexp_extract(json_extract_scalar(request, '$.query.identifier'), '^[^@]+@.+$'),
    CASE WHEN NOT by_administrator AND user_name LIKE '%@%' THEN user_name END
  )) AS target_email,
  coalesce(
    json_extract_scalar(response, '$.body.phone_number'),
    json_extract_scalar(request, '$.body.phone_number'),
    json_extract_scalar(details, '$.body.phone_number'),
    json_extract_scalar(details, '$.body.new_phone_number'),
    json_extract_scalar(details, '$.phone_number'),
    json_extract_scalar(details, '$.enrollment.phone_number'),
    json_extract_scalar(details, '$.authenticator.phone_number'),
    regexp_extract(json_extract_scalar(request, '$.query.identifier'), '^\+.+$'),
    CASE WHEN NOT by_administrator AND user_name LIKE '+%' THEN user_name END
  ) AS target_phone,
  coalesce(
    json_extract_scalar(response, '$.body.username'),
    json_extract_scalar(request, '$.body.username'),
    json_extract_scalar(details, '$.body.username'),
    json_extract_scalar(details, '$.query.username'),
    regexp_extract(json_extract_scalar(request, '$.query.identifier'), '^[^+@][^@]*$')
  ) AS target_username,
  client_id,
  client_name,
  json_extract_scalar(data, '$.connection') AS connection,
  json_extract_scalar(data, '$.connection_id') AS connection_id,
  json_extract_scalar(data, '$.strategy') AS strategy,
  json_extract_scalar(data, '$.strategy_type') AS strategy_type,
  json_extract_scalar(data, '$.organization_id') AS organization_id,
  json_extract_scalar(data, '$.organization_name') AS organization_name,
  json_extract_scalar(data, '$.audience') AS audience,
  coalesce(json_extract_scalar(data, '$.scope'), json_format(json_extract(data, '$.scope'))) AS scope,
  json_extract_scalar(data, '$.hostname') AS hostname,
  json_extract_scalar(data, '$.ip') AS ip,
  json_extract_scalar(data, '$.client_ip') AS client_ip,
  json_extract_scalar(data, '$.user_agent') AS user_agent,
  try_cast(json_extract_scalar(data, '$.is_mobile') AS boolean) AS is_mobile,
  json_extract_scalar(data, '$.location_info.country_code') AS country,
  json_extract_scalar(data, '$.location_info.city_name') AS city,
  try_cast(json_extract_scalar(data, '$.location_info.latitude') AS double) AS latitude,
  try_cast(json_extract_scalar(data, '$.location_info.longitude') AS double) AS longitude,
  json_extract_scalar(data, '$.security_context.ja3') AS ja3,
  json_extract_scalar(data, '$.security_context.ja4') AS ja4,
  json_extract_scalar(details, '$.session_id') AS session_id,
  json_extract_scalar(request, '$.channel') AS channel,
  lower(json_extract_scalar(request, '$.method')) AS http_method,
  http_path,
  try_cast(json_extract_scalar(response, '$.statusCode') AS integer) AS http_status,
  json_format(details) AS details,
  json_format(data) AS data,
  json_extract_scalar(data, '$.tenant_name') AS tenant_name,
  json_extract_scalar(data, '$.environment_name') AS environment_name,
  event_id,
  CAST(try(from_iso8601_timestamp(delivered)) AT TIME ZONE 'UTC' AS timestamp(3)) AS delivered_at,
  dt,
  hour
FROM (
  SELECT
    *,
    -- Whom a call of the Management API names: the answer first, because it is the record. A user of a linked account is
    -- named by provider and id. Any other log is about its user, whom some name by an id without its provider, auth0.
    filter(
      array_distinct(
        CASE WHEN by_administrator THEN ARRAY[] ELSE ARRAY[user_id] END
        || ARRAY[
          json_extract_scalar(response, '$.body.user_id'),
          try(url_decode(replace(regexp_extract(http_path, '^[^?]*?/(?:users|Users|user-blocks|members)/([^/?]+)', 1), '+', '%2B'))),
          CASE
            WHEN starts_with(json_extract_scalar(request, '$.body.user_id'), json_extract_scalar(request, '$.body.provider') || '|')
              THEN json_extract_scalar(request, '$.body.user_id')
            WHEN json_extract_scalar(request, '$.body.provider') IS NOT NULL
              THEN json_extract_scalar(request, '$.body.provider') || '|' || json_extract_scalar(request, '$.body.user_id')
            WHEN json_extract_scalar(request, '$.body.user_id') LIKE '%|%'
              THEN json_extract_scalar(request, '$.body.user_id')
          END,
          json_extract_scalar(request, '$.query.user_id'),
          try(url_decode(replace(
            regexp_extract(http_path, '/identities/([^/?]+)/([^/?]+)', 1) || '|' || regexp_extract(http_path, '/identities/([^/?]+)/([^/?]+)', 2),
            '+', '%2B'
          ))),
          regexp_replace(json_extract_scalar(details, '$.body.user_id'), '^([^|]+)$', 'auth0|$1'),
          regexp_replace(json_extract_scalar(details, '$.query.user_id'), '^([^|]+)$', 'auth0|$1'),
          regexp_replace(json_extract_scalar(details, '$.user_id'), '^([^|]+)$', 'auth0|$1'),
          regexp_replace(json_extract_scalar(details, '$.enrollment.user_id'), '^([^|]+)$', 'auth0|$1')
        ]
        -- Linked by a token, the secondary account is named by the answer only.
        || CASE
          WHEN http_path LIKE '%/identities' AND json_extract(request, '$.body.provider') IS NULL
            THEN coalesce(
              transform(
                try_cast(json_extract(response, '$.body') AS array(json)),
                identity -> json_extract_scalar(identity, '$.provider') || '|' || json_extract_scalar(identity, '$.user_id')
              ),
              ARRAY[]
            )
          ELSE ARRAY[]
        END
        || coalesce(try_cast(json_extract(request, '$.body.members') AS array(varchar)), ARRAY[])
        || coalesce(try_cast(json_extract(request, '$.body.users') AS array(varchar)), ARRAY[])
      ),
      target -> target <> ''
    ) AS targets
  FROM (
    SELECT
      *,
      json_extract_scalar(data, '$.type') AS type,
      nullif(json_extract_scalar(data, '$.user_id'), '') AS user_id,
      nullif(json_extract_scalar(data, '$.user_name'), '') AS user_name,
      nullif(json_extract_scalar(data, '$.client_id'), '') AS client_id,
      nullif(json_extract_scalar(data, '$.client_name'), '') AS client_name,
      json_extract(data, '$.details') AS details,
      json_extract(data, '$.details.request') AS request,
      json_extract(data, '$.details.response') AS response,
      json_extract_scalar(data, '$.details.request.path') AS http_path,
      coalesce(json_extract_scalar(data, '$.details.request.path') LIKE '/api/v2/%', FALSE) AS by_administrator,
      row_number() OVER (PARTITION BY dt, coalesce(log_id, event_id) ORDER BY delivered, event_id) AS delivery
    FROM (
      SELECT
        coalesce(
          nullif(json_extract_scalar(line, '$.detail.data.log_id'), ''),
          nullif(json_extract_scalar(line, '$.detail.log_id'), '')
        ) AS log_id,
        json_extract(line, '$.detail.data') AS data,
        json_extract_scalar(line, '$.id') AS event_id,
        json_extract_scalar(line, '$.time') AS delivered,
        dt,
        hour
      FROM lines
      WHERE json_extract_scalar(line, '$.source') LIKE '%/auth0.logs'
        OR json_extract_scalar(line, '$.detail.log_id') IS NOT NULL
        OR json_extract_scalar(line, '$.detail.data.log_id') IS NOT NULL
    ) AS events
  ) AS deliveries
  WHERE delivery = 1
) AS logs_once
