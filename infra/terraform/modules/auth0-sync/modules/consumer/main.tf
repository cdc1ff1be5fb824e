# rules -> queue -> function, and a dead-letter queue for each of the two hops that can give an event up: `undelivered`
# holds events that EventBridge could not put into the queue, `failed` messages that the function gave up.

locals {
  sqs_arn = "arn:${var.account.partition}:sqs:${var.account.region}:${var.account.id}"

  # Known before the queue exists: rights and policies name it.
  queue_arn = "${local.sqs_arn}:${var.name}"

  # AWS recommends at least six times the function's timeout. A batch may also wait for its window before the function starts.
  recommended_visibility_timeout = 6 * var.event_source_mapping.timeout_seconds + var.event_source_mapping.batch_window_seconds
  visibility_timeout             = coalesce(var.queues.visibility_timeout_seconds, local.recommended_visibility_timeout)

  rule_arns = [for key in sort(keys(var.rules)) : var.rules[key].arn]

  # SQS uses the key in the caller's name, with the queue in the encryption context.
  through_the_queue = {
    StringEquals = {
      "kms:ViaService"                    = ["sqs.${var.account.region}.amazonaws.com"]
      "kms:EncryptionContext:aws:sqs:arn" = [local.queue_arn]
    }
  }

  receive_statements = concat(
    [{ actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], resources = [local.queue_arn] }],
    [for key in var.kms_key_arn[*] : { actions = ["kms:Decrypt"], resources = [key], conditions = local.through_the_queue }],
  )
}

# EventBridge

resource "aws_cloudwatch_event_target" "queue" {
  for_each = var.rules

  rule           = each.value.name
  event_bus_name = each.value.event_bus_name
  target_id      = var.name
  arn            = module.queue.arn

  # EventBridge's maximum.
  retry_policy {
    maximum_event_age_in_seconds = 86400
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = module.undelivered[0].arn
  }
}

# Queues

module "queue" {
  source = "../queue"

  name              = var.name
  sqs_arn           = local.sqs_arn
  rule_arns         = local.rule_arns
  operator_arns     = var.operator_arns
  sender_arns       = var.sender_arns
  queues            = var.queues
  max_receive_count = var.queues.max_receive_count
  kms_key_arn       = var.kms_key_arn

  visibility_timeout_seconds = local.visibility_timeout
}

module "undelivered" {
  source = "../queue"
  count  = length(var.rules) == 0 ? 0 : 1

  name          = "${var.name}-undelivered"
  sqs_arn       = local.sqs_arn
  rule_arns     = local.rule_arns
  operator_arns = var.operator_arns
  queues        = var.queues
  kms_key_arn   = var.kms_key_arn
}

# Function

module "function" {
  source = "../function"

  account                  = var.account
  name                     = var.function.name
  description              = var.function.description
  package                  = var.function.package
  handler                  = var.function.handler
  runtime                  = var.function.runtime
  architecture             = var.function.architecture
  memory_mb                = var.function.memory_mb
  timeout_seconds          = var.event_source_mapping.timeout_seconds
  reserved_concurrency     = var.function.reserved_concurrency
  log_retention_days       = var.function.log_retention_days
  vpc_config               = var.function.vpc_config
  environment              = var.function_environment
  kms_key_arn              = var.kms_key_arn
  permissions_boundary_arn = var.permissions_boundary_arn
  statements               = concat(var.function.statements, local.receive_statements)
}

resource "aws_lambda_event_source_mapping" "this" {
  event_source_arn                   = module.queue.arn
  function_name                      = module.function.arn
  enabled                            = var.event_source_mapping.enabled
  batch_size                         = var.event_source_mapping.batch_size
  maximum_batching_window_in_seconds = var.event_source_mapping.batch_window_seconds
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.event_source_mapping.maximum_concurrency
  }
}
