# One key for everything that the deployment stores. Deleting it deletes all of that, backups and snapshots included, so
# deletion uses the longest waiting period, 30 days.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id
  account_id = data.aws_caller_identity.current.account_id
}

resource "aws_kms_key" "this" {
  description             = "Everything that ${var.name} stores."
  enable_key_rotation     = true
  deletion_window_in_days = 30

  # `Resource = "*"` in a key's policy is the key itself.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # IAM decides for the principals of this account: the policies of the functions', Firehose's and EventBridge's roles
      # name their rights, and the service that each right is for. DynamoDB, RDS, Firehose's buffers and Lambda work by grants
      # that they make in the name of whoever deploys; S3, Secrets Manager, and Firehose for a record that comes, in the name
      # of whoever reads or writes. So none of them is named here.
      {
        Sid       = "Iam"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "LogGroups"
        Effect    = "Allow"
        Principal = { Service = "logs.${local.region}.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = [
              for end in ["-*", "/*"] : "arn:${local.partition}:logs:${local.region}:${local.account_id}:log-group:/aws/*/${var.name}${end}"
            ]
          }
        }
      },
      # SQS asks for this key in EventBridge's name. No aws:SourceArn and no aws:SourceAccount: AWS says of encrypted SNS
      # topics that EventBridge sends neither to KMS, and says nothing of queues; were it the same, every event would be
      # lost, and its dead-letter queue with it. The queue's ARN is put there by SQS itself, and each queue's own policy
      # names the rules that may send to it, so no other rule gets as far as this key.
      {
        Sid       = "EventsToQueues"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:sqs:arn" = "arn:${local.partition}:sqs:${local.region}:${local.account_id}:${var.name}-*"
          }
        }
      },
      {
        Sid       = "AlarmsToTopic"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
        Condition = {
          StringEquals = { "aws:SourceAccount" = local.account_id }
          ArnLike = {
            "aws:SourceArn" = "arn:${local.partition}:cloudwatch:${local.region}:${local.account_id}:alarm:${var.name}-*"
          }
        }
      },
    ]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}
