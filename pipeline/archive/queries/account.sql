-- Everything about an account
-- Every log that names the account by user id, e-mail address, phone number or username, newest first: also attempts to
-- log in to an account that does not exist.
-- parameters: account, account, since, until=now, since, until=now, limit
-- finding: log_id
SELECT
  "date",
  type,
  description,
  user_id,
  user_name,
  target_user_ids,
  target_email,
  target_phone,
  actor_name,
  client_name,
  connection,
  ip,
  country,
  http_method,
  http_path,
  log_id
FROM tenant_logs
WHERE (
    contains(target_user_ids || ARRAY[user_id, user_name, target_username, target_phone, identity_user_id], ?)
    OR contains(ARRAY[target_email, lower(user_name), lower(actor_email), lower(target_username)], lower(?))
  )
  AND dt BETWEEN substr(?, 1, 10) AND substr(?, 1, 10)
  AND dt || 'T' || hour BETWEEN ? AND ?
ORDER BY "date" DESC, log_id DESC
LIMIT ?
