# A queue with its policy and an optional dead-letter queue. The provider waits 25 s for each queue: policies are
# created with their queues, and the redrive policies apart from them, so that it waits for all queues at once.

locals {
  arn             = "${var.sqs_arn}:${var.name}"
  dead_letter_arn = "${var.sqs_arn}:${var.name}-failed"

  # SQS's own default: a revoked right to the key ends within five minutes, for some cents a month.
  data_key_reuse_seconds = var.kms_key_arn == null ? null : 300

  tls_only = {
    for arn in [local.arn, local.dead_letter_arn] : arn => {
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:*"
      Resource  = arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }
  }

  # Every signed request has aws:PrincipalIsAWSService, which is false unless a service asks for itself (IAM User Guide, "AWS
  # global condition context keys"). So the statement covers neither EventBridge, which the next one admits by rule, nor what
  # SQS itself moves to a dead-letter queue. Who moves messages back (StartMessageMoveTask) does so by SendMessage, too.
  only_these_senders = {
    for arn, others in {
      (local.arn) = merge(
        { ArnNotLike = { "aws:PrincipalArn" = concat(var.operator_arns, var.sender_arns) } },
        # EventBridge needs this key anyway: no delivery depends on aws:PrincipalIsAWSService.
        length(var.rule_arns) == 0 ? {} : { ArnNotEquals = { "aws:SourceArn" = var.rule_arns } },
      )
      (local.dead_letter_arn) = { ArnNotLike = { "aws:PrincipalArn" = var.operator_arns } }
      } : arn => {
      Sid       = "OnlyTheseSenders"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sqs:SendMessage"
      Resource  = arn
      Condition = merge({ Bool = { "aws:PrincipalIsAWSService" = "false" } }, others)
    }
  }

  only_these_rules = [for arns in length(var.rule_arns) == 0 ? [] : [var.rule_arns] : {
    Sid       = "OnlyTheseRules"
    Effect    = "Allow"
    Principal = { Service = "events.amazonaws.com" }
    Action    = "sqs:SendMessage"
    Resource  = local.arn
    Condition = { ArnEquals = { "aws:SourceArn" = arns } }
  }]
}

resource "aws_sqs_queue" "this" {
  name                       = var.name
  visibility_timeout_seconds = var.visibility_timeout_seconds
  message_retention_seconds  = var.queues.retention_seconds
  max_message_size           = var.queues.max_message_bytes
  policy                     = jsonencode({ Version = "2012-10-17", Statement = concat([local.tls_only[local.arn], local.only_these_senders[local.arn]], local.only_these_rules) })

  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = local.data_key_reuse_seconds
}

# SQS itself sends to it.
resource "aws_sqs_queue" "failed" {
  count = var.max_receive_count == null ? 0 : 1

  name                      = "${var.name}-failed"
  message_retention_seconds = var.queues.retention_seconds
  max_message_size          = var.queues.max_message_bytes
  policy                    = jsonencode({ Version = "2012-10-17", Statement = [local.tls_only[local.dead_letter_arn], local.only_these_senders[local.dead_letter_arn]] })

  sqs_managed_sse_enabled           = var.kms_key_arn == null ? true : null
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = local.data_key_reuse_seconds
}

resource "aws_sqs_queue_redrive_policy" "this" {
  count = var.max_receive_count == null ? 0 : 1

  queue_url = aws_sqs_queue.this.id

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.failed[0].arn
    maxReceiveCount     = var.max_receive_count
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "failed" {
  count = var.max_receive_count == null ? 0 : 1

  queue_url = aws_sqs_queue.failed[0].id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.this.arn]
  })
}
