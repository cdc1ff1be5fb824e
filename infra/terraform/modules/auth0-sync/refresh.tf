# Refresh: fetches the users that events name without carrying them, and sends them to the sinks' queues.

locals {
  # Every change in a log goes to the refresh too: no pattern tells a masked field at any depth, or a hash, from a name.
  # The function drops those that carry the whole user.
  refresh_rules = var.refresh == null ? {} : merge(
    { for stream, rule in local.rules.user-changes : "user-changes-${stream}" => rule if stream == "log-stream" },
    { for stream, rule in local.rules.user-signals : "user-signals-${stream}" => rule },
    { for stream, rule in local.rules.logins : "logins-${stream}" => rule if var.refresh.on_login },
  )

  # Known before the sinks are there: their functions know the refresh's role, so that its rights must not wait for them.
  refresh_alias_arns = [
    for sink in ["dynamodb", "postgres"] : join(":", [
      "arn:${local.account.partition}:lambda:${local.account.region}",
      "${local.account.id}:function:${local.prefix}-sync-${sink}:refresh",
    ])
  ]

  refresh_statements = flatten([
    for refresh in var.refresh[*] : concat(
      module.dynamodb_sink.send_statements,
      module.postgres_sink.send_statements,
      module.refresh[0].send_statements,
      # Users too large for a sink's queue go straight to its function.
      [{ actions = ["lambda:InvokeFunction"], resources = local.refresh_alias_arns, conditions = null }],
      [{ actions = ["secretsmanager:GetSecretValue"], resources = [refresh.secret_arn], conditions = null }],
      [for key in refresh.kms_key_arn[*] : {
        actions   = ["kms:Decrypt"]
        resources = [key]
        conditions = {
          StringEquals = {
            "kms:ViaService"                  = ["secretsmanager.${local.account.region}.amazonaws.com"]
            "kms:EncryptionContext:SecretARN" = [refresh.secret_arn]
          }
        }
      }],
    )
  ])

  refresh_environment = var.refresh == null ? {} : {
    AUTH0_DOMAIN            = var.refresh.auth0_domain
    AUTH0_CLIENT_SECRET_ARN = var.refresh.secret_arn
    REFRESH_QUEUE_URL       = module.refresh[0].queue_url
    SINK_QUEUE_URLS         = join(",", [for sink in local.sinks : sink.queue_url])
    SINK_FUNCTIONS          = join(",", [for alias in aws_lambda_alias.refresh : "${alias.function_name}:${alias.name}"])
    REFRESH_RATE            = tostring(var.refresh.rate)
    REFRESH_MAX_AGE         = tostring(var.refresh.max_age_seconds)
    SERVICE_NAME            = "refresh"
  }
}

# Lambda tells a function which of its ARNs was invoked. The refresh may invoke only this one, by which the sinks' functions
# know it (Lambda Developer Guide, "Fine-tuning the Resources and Conditions sections of policies").
resource "aws_lambda_alias" "refresh" {
  for_each = var.refresh == null ? {} : local.sinks

  name             = "refresh"
  description      = "Invoked by the refresh alone, with users too large for the queue."
  function_name    = each.value.function_name
  function_version = "$LATEST"
}

module "refresh" {
  source = "./modules/consumer"
  count  = var.refresh == null ? 0 : 1

  account                  = local.account
  name                     = "${local.prefix}-refresh"
  rules                    = local.refresh_rules
  queues                   = var.queues
  kms_key_arn              = local.kms_key_arn
  permissions_boundary_arn = var.access.permissions_boundary_arn
  operator_arns            = local.operator_arns
  sender_arns              = local.refresh_arns

  # Two is the least that Lambda takes. Reserving one execution instead would throttle the second, and SQS counts a
  # throttled delivery as a failed one: signals would end in the dead-letter queue without having been looked at.
  event_source_mapping = {
    enabled              = var.sync.enabled
    timeout_seconds      = var.refresh.timeout_seconds
    batch_size           = var.refresh.batch_size
    batch_window_seconds = var.refresh.batch_window_seconds
    maximum_concurrency  = 2
  }

  function = {
    name                 = "${local.prefix}-refresh"
    description          = "Fetches the users that events name without carrying them."
    package              = "${var.package_dir}/refresh.zip"
    handler              = "pipeline.functions.refresh.handler"
    runtime              = var.lambda.runtime
    architecture         = var.lambda.architecture
    memory_mb            = var.refresh.memory_mb
    reserved_concurrency = null
    log_retention_days   = var.logs.retention_days
    statements           = local.refresh_statements
    vpc_config           = null # it has to reach Auth0
  }
  function_environment = merge(local.sync_environment, local.refresh_environment)
}
