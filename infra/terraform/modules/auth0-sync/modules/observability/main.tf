# The topic of the alarms. Their messages hold names, numbers and times, and no data of users.

locals {
  create_topic = var.alarms.enabled && var.alarms.topic_arn == null
  topic_name   = "${var.name}-alarms"
  topic_arn    = local.create_topic ? one(aws_sns_topic.this[*].arn) : var.alarms.topic_arn

  # Known before the topic exists, which is created together with its policy.
  created_topic_arn = "arn:${var.account.partition}:sns:${var.account.region}:${var.account.id}:${local.topic_name}"
}

resource "aws_sns_topic" "this" {
  count = local.create_topic ? 1 : 0

  name              = local.topic_name
  kms_master_key_id = var.kms_key_arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = local.created_topic_arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "OnlyTheseAlarms"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = local.created_topic_arn
        Condition = {
          StringEquals = { "aws:SourceAccount" = var.account.id }
          ArnLike = {
            "aws:SourceArn" = "arn:${var.account.partition}:cloudwatch:${var.account.region}:${var.account.id}:alarm:${var.name}-*"
          }
        }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = local.create_topic ? toset(var.alarms.emails) : []

  topic_arn = local.topic_arn
  protocol  = "email"
  endpoint  = each.value
}
