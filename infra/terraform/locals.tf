locals {
  prefix = "${var.name}-${var.environment}"

  tags = merge({
    Project     = "auth0-sync"
    Deployment  = local.prefix
    Environment = var.environment
  }, var.tags)

  package_dir = coalesce(var.package_dir, "${path.root}/../../build/packages/lambda")
  archive     = jsondecode(file("${path.module}/../../pipeline/archive/table.json"))

  target_retry = {
    maximum_event_age_seconds = var.target_maximum_event_age_seconds
    maximum_retry_attempts    = var.target_maximum_retry_attempts
  }

  function_environment = {
    LOG_LEVEL                    = var.log_level
    POWERTOOLS_METRICS_NAMESPACE = "auth0-sync"
  }

  # Either a URL, or a server that accepts IAM tokens: then each function signs in as a user of its own.
  database_users = var.database == null ? {} : { writer = var.database.writer_user, migrator = var.database.migrator_user }

  database_environment = var.database == null ? {
    writer   = tomap({ DATABASE_URL = var.database_url })
    migrator = tomap({ DATABASE_URL = var.database_url })
    } : {
    for role, user in local.database_users : role => tomap({
      PGHOST     = var.database.host
      PGPORT     = tostring(var.database.port)
      PGDATABASE = var.database.name
      PGUSER     = user
    })
  }

  database_statements = {
    for role in ["writer", "migrator"] : role => [
      for user in compact([lookup(local.database_users, role, null)]) : {
        actions   = ["rds-db:connect"]
        resources = ["${local.database_users_arn}/${user}"]
      }
    ]
  }

  database_users_arn = var.database == null ? null : join(":", [
    "arn:${data.aws_partition.current.partition}:rds-db:${data.aws_region.current.id}",
    "${data.aws_caller_identity.current.account_id}:dbuser:${var.database.resource_id}",
  ])
}

locals {
  queue = {
    retention_seconds = var.queue_retention_seconds
    max_receive_count = var.max_receive_count
    max_message_bytes = var.queue_max_message_bytes
  }

  reading = {
    enabled             = var.sync_enabled
    batch_size          = var.sync_batch_size
    batch_window        = var.sync_batch_window_seconds
    maximum_concurrency = var.sync_maximum_concurrency
  }

  sync_function = {
    description          = "Writes user changes to a store."
    handler              = "pipeline.functions.sync.handler"
    runtime              = var.lambda_runtime
    architecture         = var.lambda_architecture
    memory_mb            = var.sync_memory_mb
    timeout_seconds      = var.sync_timeout_seconds
    reserved_concurrency = var.sync_reserved_concurrency
    log_retention_days   = var.log_retention_days
  }
}

locals {
  sinks = {
    postgres = module.postgres_sink
    dynamodb = module.dynamodb_sink
  }

  consumers = merge(local.sinks, { for refresh in module.refresh : "refresh" => refresh })

  # What each consumer's function does to its queue's messages.
  function_prefixes = { postgres = "sync-", dynamodb = "sync-", refresh = "" }

  postgres_sink_environment = merge(local.function_environment, local.database_environment.writer, {
    SINK                    = "postgres"
    HISTORY                 = var.history ? "on" : "off"
    POWERTOOLS_SERVICE_NAME = "sync-postgres"
  })
}
