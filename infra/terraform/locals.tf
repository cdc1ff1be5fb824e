locals {
  prefix = "${var.name}-${var.environment}"

  tags = merge({
    Project     = "auth0-sync"
    Deployment  = local.prefix
    Environment = var.environment
  }, var.tags)

  package_dir = coalesce(var.package_dir, "${path.root}/../../build/packages/lambda")
  archive     = jsondecode(file("${path.module}/../../pipeline/archive/table.json"))

  # The user changes on each bus; every sink gets all of them. EventBridge patterns live in files of their own, so that
  # they can be tried with `aws events test-event-pattern` as they are.
  user_changes = merge(
    {
      log-stream = {
        bus_name      = module.log_bus.name
        event_pattern = file("${path.module}/patterns/log_stream_user_changes.json")
      }
    },
    {
      for bus in module.event_bus : "event-stream" => {
        bus_name      = bus.name
        event_pattern = file("${path.module}/patterns/event_stream_user_changes.json")
      }
    },
  )

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

  consumer = {
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
}
