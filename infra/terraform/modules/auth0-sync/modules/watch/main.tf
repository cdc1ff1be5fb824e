# Questions on a schedule: rule -> function -> topic, and a table that remembers findings. Messages hold rows of
# the archive, which are personal data: they do not go to the alarms' topic unless it is given.

locals {
  create_topic  = var.topic.arn == null
  topic_arn     = local.create_topic ? one(aws_sns_topic.this[*].arn) : var.topic.arn
  topic_key_arn = local.create_topic ? var.kms_key_arn : var.topic.kms_key_arn

  # Known before the topic is, which is created together with its policy.
  created_topic_arn = "arn:${var.account.partition}:sns:${var.account.region}:${var.account.id}:${var.name}"

  statements = concat(
    var.ask_statements,
    [
      {
        actions    = ["dynamodb:BatchGetItem", "dynamodb:DeleteItem", "dynamodb:PutItem"]
        resources  = [aws_dynamodb_table.told.arn]
        conditions = {}
      },
      { actions = ["sns:Publish"], resources = [local.topic_arn], conditions = {} },
    ],
    [for key in var.kms_key_arn[*] : {
      actions   = ["kms:Decrypt"]
      resources = [key]
      conditions = {
        StringEquals = {
          "kms:ViaService"                                  = ["dynamodb.${var.account.region}.amazonaws.com"]
          "kms:EncryptionContext:aws:dynamodb:subscriberId" = [var.account.id]
          "kms:EncryptionContext:aws:dynamodb:tableName"    = [aws_dynamodb_table.told.name]
        }
      }
    }],
    # SNS encrypts a message in the publisher's name.
    [for key in local.topic_key_arn[*] : {
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [key]
      conditions = {
        StringEquals = {
          "kms:ViaService"                         = ["sns.${var.account.region}.amazonaws.com"]
          "kms:EncryptionContext:aws:sns:topicArn" = [local.topic_arn]
        }
      }
    }],
  )
}

# Digests of the findings that were sent, each until it has left the window.
resource "aws_dynamodb_table" "told" {
  #checkov:skip=CKV_AWS_28:It only remembers which findings were sent; without it, the watch sends those of the window once more
  name         = var.name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "finding"

  attribute {
    name = "finding"
    type = "S"
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }
}

resource "aws_sns_topic" "this" {
  count = local.create_topic ? 1 : 0

  name              = var.name
  kms_master_key_id = var.kms_key_arn

  # The function publishes by its own IAM policy; the topic's policy names no other principal.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "sns:Publish"
      Resource  = local.created_topic_arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = local.create_topic ? toset(var.topic.emails) : []

  topic_arn = local.topic_arn
  protocol  = "email"
  endpoint  = each.value
}

module "function" {
  source = "../function"

  account                  = var.account
  name                     = var.name
  description              = "Asks the archive questions, and sends the findings to a topic."
  package                  = var.function.package
  handler                  = "pipeline.functions.watch.handler"
  runtime                  = var.function.runtime
  architecture             = var.function.architecture
  memory_mb                = 512
  timeout_seconds          = 900
  log_retention_days       = var.function.log_retention_days
  statements               = local.statements
  kms_key_arn              = var.kms_key_arn
  permissions_boundary_arn = var.permissions_boundary_arn
  environment = merge(var.function_environment, {
    WATCH_QUESTIONS   = jsonencode(var.questions)
    WATCH_WINDOW_DAYS = tostring(var.window_days)
    MEMORY_TABLE      = aws_dynamodb_table.told.name
    TOPIC_ARN         = local.topic_arn
    SERVICE_NAME      = "watch"
  })
  schedule = {
    expression  = var.schedule
    description = "Runs the watch, which asks the archive the watched questions."
  }
}
