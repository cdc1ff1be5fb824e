-- Who changed a user
-- Calls of the Management API and SCIM that name the user, and changes by the user: password, e-mail, username, MFA,
-- verification, deletion. Newest first.
-- parameters: user_id, since, until=now, since, until=now, limit
-- finding: log_id
SELECT
  "date",
  type,
  actor,
  actor_name,
  client_id,
  channel,
  ip,
  http_method,
  http_path,
  http_status,
  description,
  json_format(json_extract(details, '$.request.body')) AS request,
  log_id
FROM tenant_logs
WHERE contains(target_user_ids, ?)
  AND (
    http_path LIKE '/api/v2/%'
    OR type IN (
      'du', 'gd_enrollment_complete', 'gd_unenroll', 'scp', 'sce', 'scpn', 'scu', 'sdu', 'ss', 'sv', 'ublkdu',
      'my_account_authentication_method_succeeded', 'organization_member_added', 'sscim', 'fscim'
    )
  )
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
