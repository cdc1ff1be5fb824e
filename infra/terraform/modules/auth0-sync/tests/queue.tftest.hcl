# A queue is encrypted, takes messages from its rules only, and gives up on none without a dead-letter queue.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

override_resource {
  target          = aws_sqs_queue.this
  override_during = plan

  values = { id = "https://sqs.example.com/queue", arn = "arn:aws:sqs:eu-central-1:123456789012:users" }
}

override_resource {
  target          = aws_sqs_queue.failed
  override_during = plan

  values = { id = "https://sqs.example.com/failed", arn = "arn:aws:sqs:eu-central-1:123456789012:users-failed" }
}

variables {
  name                       = "users"
  sqs_arn                    = "arn:aws:sqs:eu-central-1:123456789012"
  operator_arns              = ["arn:aws:iam::123456789012:role/operator"]
  sender_arns                = ["arn:aws:iam::123456789012:role/refresh"]
  rule_arns                  = ["arn:aws:events:eu-central-1:123456789012:rule/events-bus/changes-events", "arn:aws:events:eu-central-1:123456789012:rule/logs-bus/changes-logs"]
  queues                     = { retention_seconds = 1209600, max_message_bytes = 200000 }
  visibility_timeout_seconds = 365
  max_receive_count          = 5
}

run "queue" {
  command = plan

  module {
    source = "./modules/queue"
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_policy.this[0].redrive_policy) == { deadLetterTargetArn = aws_sqs_queue.failed[0].arn, maxReceiveCount = 5 }
    error_message = "Messages that fail must go to the dead-letter queue."
  }

  assert {
    condition     = jsondecode(aws_sqs_queue_redrive_allow_policy.failed[0].redrive_allow_policy).sourceQueueArns == [aws_sqs_queue.this.arn]
    error_message = "Only this queue may use its dead-letter queue."
  }

  assert {
    condition     = aws_sqs_queue.this.visibility_timeout_seconds == 365 && output.failed_url == "https://sqs.example.com/failed" && aws_sqs_queue.failed[0].name == "users-failed"
    error_message = "The queue has its visibility timeout, and the dead-letter queue is in the outputs."
  }

  assert {
    condition = alltrue([
      for queue in [aws_sqs_queue.this, aws_sqs_queue.failed[0]] :
      queue.sqs_managed_sse_enabled && queue.kms_master_key_id == null && queue.message_retention_seconds == 1209600 && queue.max_message_size == 200000 &&
      one([for s in jsondecode(queue.policy).Statement : s if s.Sid == "TlsOnly"]) == {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = "arn:aws:sqs:eu-central-1:123456789012:${queue.name}"
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      }
    ])
    error_message = "Queues must be encrypted, keep messages for 14 days, take the same sizes and refuse plain HTTP."
  }

  assert {
    condition = [for s in jsondecode(aws_sqs_queue.this.policy).Statement : s if s.Effect == "Allow"] == [{
      Sid       = "OnlyTheseRules"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = "arn:aws:sqs:eu-central-1:123456789012:users"
      Condition = { ArnEquals = { "aws:SourceArn" = [
        "arn:aws:events:eu-central-1:123456789012:rule/events-bus/changes-events",
        "arn:aws:events:eu-central-1:123456789012:rule/logs-bus/changes-logs",
      ] } }
    }]
    error_message = "Only EventBridge, and only for these rules, may send to the queue."
  }

  assert {
    condition = { for queue in [aws_sqs_queue.this, aws_sqs_queue.failed[0]] : queue.name => one([for s in jsondecode(queue.policy).Statement : [s.Effect, s.Principal, s.Action, s.Resource, s.Condition] if s.Sid == "OnlyTheseSenders"]) } == {
      users = [
        "Deny", "*", "sqs:SendMessage", "arn:aws:sqs:eu-central-1:123456789012:users",
        {
          Bool         = { "aws:PrincipalIsAWSService" = "false" }
          ArnNotLike   = { "aws:PrincipalArn" = ["arn:aws:iam::123456789012:role/operator", "arn:aws:iam::123456789012:role/refresh"] }
          ArnNotEquals = { "aws:SourceArn" = [for arn in var.rule_arns : arn] }
        },
      ]
      users-failed = [
        "Deny", "*", "sqs:SendMessage", "arn:aws:sqs:eu-central-1:123456789012:users-failed",
        { Bool = { "aws:PrincipalIsAWSService" = "false" }, ArnNotLike = { "aws:PrincipalArn" = ["arn:aws:iam::123456789012:role/operator"] } },
      ]
    }
    error_message = "Of people and programs, only the refresh and operators may send."
  }

  assert {
    condition     = [for s in jsondecode(aws_sqs_queue.failed[0].policy).Statement : s if s.Effect == "Allow"] == []
    error_message = "Nobody but SQS itself may fill the queue of failed messages."
  }
}

run "key_without_dead_letter_queue" {
  command = plan

  module {
    source = "./modules/queue"
  }

  variables {
    max_receive_count = null
    kms_key_arn       = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }

  assert {
    condition     = aws_sqs_queue.this.kms_master_key_id == var.kms_key_arn && aws_sqs_queue.this.kms_data_key_reuse_period_seconds == 300
    error_message = "The key must encrypt the queue."
  }

  assert {
    condition     = length(aws_sqs_queue.failed) == 0 && output.failed_url == null
    error_message = "A queue that nothing reads has no dead-letter queue."
  }
}
