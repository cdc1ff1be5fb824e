# One key for everything that the deployment stores. Deleting it deletes all of that, backups and snapshots included, so
# deletion uses the longest waiting period, 30 days.

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
        Principal = { AWS = "arn:${var.account.partition}:iam::${var.account.id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "LogGroups"
        Effect    = "Allow"
        Principal = { Service = "logs.${var.account.region}.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = [
              for end in ["-*", "/*"] : "arn:${var.account.partition}:logs:${var.account.region}:${var.account.id}:log-group:/aws/*/${var.name}${end}"
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
            "kms:EncryptionContext:aws:sqs:arn" = "arn:${var.account.partition}:sqs:${var.account.region}:${var.account.id}:${var.name}-*"
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
          StringEquals = { "aws:SourceAccount" = var.account.id }
          ArnLike = {
            "aws:SourceArn" = "arn:${var.account.partition}:cloudwatch:${var.account.region}:${var.account.id}:alarm:${var.name}-*"
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
