# rules -> queue -> function, and a dead-letter queue for each of the two hops that can give an event up: `undelivered`
# holds what EventBridge could not put into the queue, `failed` what the function could not do.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  # Known before the queues are: a queue is created together with its policy, which saves the provider's second wait.
  sqs_arn     = "arn:${data.aws_partition.current.partition}:sqs:${data.aws_region.current.id}:${data.aws_caller_identity.current.account_id}"
  queue       = var.name
  queue_arn   = "${local.sqs_arn}:${local.queue}"
  failed      = "${var.name}-failed"
  undelivered = "${var.name}-undelivered"

  # SQS's own default: a right to the key that is taken away ends within five minutes, for some cents a month.
  data_key_reuse_seconds = 300

  # AWS wants at least six times the function's timeout. A batch may also wait for its window before the function starts.
  visibility_timeout = 6 * var.reading.timeout_seconds + var.reading.batch_window

  rule_arns = [for key in sort(keys(var.rules)) : var.rules[key].arn]

  # SQS uses the key in the name of whoever sends and receives, and says for which queue.
  through_the_queue = {
    StringEquals = {
      "kms:ViaService"                    = ["sqs.${data.aws_region.current.id}.amazonaws.com"]
      "kms:EncryptionContext:aws:sqs:arn" = [local.queue_arn]
    }
  }

  receive_statements = concat(
    [{ actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], resources = [local.queue_arn] }],
    [for key in var.kms_key_arn[*] : { actions = ["kms:Decrypt"], resources = [key], conditions = local.through_the_queue }],
  )

  policies = {
    for queue in [local.queue, local.failed, local.undelivered] : queue => jsonencode({
      Version = "2012-10-17"
      Statement = concat(
        [{
          Sid       = "TlsOnly"
          Effect    = "Deny"
          Principal = "*"
          Action    = "sqs:*"
          Resource  = "${local.sqs_arn}:${queue}"
          Condition = { Bool = { "aws:SecureTransport" = "false" } }
        }],
        [for rule_arns in [local.rule_arns] : {
          Sid       = "OnlyTheseRules"
          Effect    = "Allow"
          Principal = { Service = "events.amazonaws.com" }
          Action    = "sqs:SendMessage"
          Resource  = "${local.sqs_arn}:${queue}"
          Condition = { ArnEquals = { "aws:SourceArn" = rule_arns } }
        } if queue != local.failed],
      )
    })
  }
}

# EventBridge

resource "aws_cloudwatch_event_target" "queue" {
  for_each = var.rules

  rule           = each.value.name
  event_bus_name = each.value.event_bus_name
  target_id      = var.name
  arn            = aws_sqs_queue.this.arn

  retry_policy {
    maximum_event_age_in_seconds = var.target_retry.maximum_event_age_seconds
    maximum_retry_attempts       = var.target_retry.maximum_retry_attempts
  }

  dead_letter_config {
    arn = aws_sqs_queue.undelivered.arn
  }
}

# Queues. Their redrive policies are resources of their own: the provider waits 25 s for each queue, and so it can wait
# for all of them at once.

resource "aws_sqs_queue" "this" {
  name                       = local.queue
  visibility_timeout_seconds = local.visibility_timeout
  message_retention_seconds  = var.queue.retention_seconds
  max_message_size           = var.queue.max_message_bytes
  policy                     = local.policies[local.queue]

  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : local.data_key_reuse_seconds
}

resource "aws_sqs_queue" "failed" {
  name                      = local.failed
  message_retention_seconds = var.queue.retention_seconds
  max_message_size          = var.queue.max_message_bytes
  policy                    = local.policies[local.failed]

  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : local.data_key_reuse_seconds
}

resource "aws_sqs_queue" "undelivered" {
  name                      = local.undelivered
  message_retention_seconds = var.queue.retention_seconds
  max_message_size          = var.queue.max_message_bytes
  policy                    = local.policies[local.undelivered]

  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = var.kms_key_arn == null ? null : local.data_key_reuse_seconds
}

resource "aws_sqs_queue_redrive_policy" "this" {
  queue_url = aws_sqs_queue.this.id

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.failed.arn
    maxReceiveCount     = var.queue.max_receive_count
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "failed" {
  queue_url = aws_sqs_queue.failed.id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.this.arn]
  })
}

# Function

module "function" {
  source = "../function"

  name                 = var.function.name
  description          = var.function.description
  package              = var.function.package
  handler              = var.function.handler
  runtime              = var.function.runtime
  architecture         = var.function.architecture
  memory_mb            = var.function.memory_mb
  timeout_seconds      = var.reading.timeout_seconds
  reserved_concurrency = var.function.reserved_concurrency
  log_retention_days   = var.function.log_retention_days
  vpc_config           = var.function.vpc_config
  environment          = var.function_environment
  kms_key_arn          = var.kms_key_arn
  statements           = concat(var.function.statements, local.receive_statements)
}

resource "aws_lambda_event_source_mapping" "this" {
  event_source_arn                   = aws_sqs_queue.this.arn
  function_name                      = module.function.arn
  enabled                            = var.reading.enabled
  batch_size                         = var.reading.batch_size
  maximum_batching_window_in_seconds = var.reading.batch_window
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.reading.maximum_concurrency
  }
}
