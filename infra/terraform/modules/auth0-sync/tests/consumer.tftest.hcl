# A consumer loses no event: retries, dead-letter queues, matching timeouts, and rights to send for its rules only.

mock_provider "aws" {
  source = "./tests/mocks"
}

override_resource {
  target = module.queue.aws_sqs_queue.this
  values = { id = "https://sqs.example.com/queue", arn = "arn:aws:sqs:eu-central-1:123456789012:users" }
}

override_resource {
  target = module.undelivered[0].aws_sqs_queue.this
  values = { id = "https://sqs.example.com/undelivered", arn = "arn:aws:sqs:eu-central-1:123456789012:users-undelivered" }
}

variables {
  account       = { id = "123456789012", partition = "aws", region = "eu-central-1" }
  name          = "users"
  operator_arns = ["arn:aws:iam::123456789012:role/operator"]

  rules = {
    logs   = { name = "changes-logs", event_bus_name = "logs-bus", arn = "arn:aws:events:eu-central-1:123456789012:rule/logs-bus/changes-logs" }
    events = { name = "changes-events", event_bus_name = "events-bus", arn = "arn:aws:events:eu-central-1:123456789012:rule/events-bus/changes-events" }
  }
  queues               = { retention_seconds = 1209600, max_receive_count = 5, visibility_timeout_seconds = null, max_message_bytes = 200000 }
  event_source_mapping = { enabled = true, timeout_seconds = 60, batch_size = 100, batch_window_seconds = 5, maximum_concurrency = 5 }
  function = {
    name                 = "users-sync"
    description          = "Test."
    package              = "tests/packages/sync-dynamodb.zip"
    handler              = "pipeline.functions.sync.handler"
    runtime              = "python3.13"
    architecture         = "arm64"
    memory_mb            = 512
    reserved_concurrency = null
    log_retention_days   = 30
    statements           = [{ actions = ["dynamodb:PutItem"], resources = ["arn:aws:dynamodb:eu-central-1:123456789012:table/users"] }]
    vpc_config           = null
  }
  function_environment = { SINK = "dynamodb" }
}

run "consumer" {
  module {
    source = "./modules/consumer"
  }

  assert {
    condition     = local.visibility_timeout == 365
    error_message = "The visibility timeout must be six times the function's timeout and the batch window."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.this.function_response_types == toset(["ReportBatchItemFailures"])
    error_message = "Without ReportBatchItemFailures one bad message would send its whole batch to the dead-letter queue."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.this.scaling_config[0].maximum_concurrency == 5
    error_message = "The number of batches at a time must be bounded."
  }

  assert {
    condition = alltrue([
      for target in aws_cloudwatch_event_target.queue :
      target.arn == module.queue.arn &&
      target.dead_letter_config[0].arn == module.undelivered[0].arn &&
      target.retry_policy[0].maximum_event_age_in_seconds == 86400 &&
      target.retry_policy[0].maximum_retry_attempts == 185
    ])
    error_message = "Every target needs a retry policy and a dead-letter queue."
  }

  assert {
    condition = { for key, target in aws_cloudwatch_event_target.queue : key => "${target.event_bus_name} ${target.rule} ${target.target_id}" } == {
      events = "events-bus changes-events users"
      logs   = "logs-bus changes-logs users"
    }
    error_message = "Every rule needs its target, on its bus, and consumers that share a rule need targets of their own."
  }

  assert {
    condition = local.rule_arns == [
      "arn:aws:events:eu-central-1:123456789012:rule/events-bus/changes-events",
      "arn:aws:events:eu-central-1:123456789012:rule/logs-bus/changes-logs",
    ]
    error_message = "Only this consumer's rules may send to the queues, in an order that no plan changes."
  }
}

run "key" {
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  }

  module {
    source = "./modules/consumer"
  }

  assert {
    condition = jsonencode([for s in local.receive_statements : s if s.resources == [var.kms_key_arn]]) == jsonencode([{
      actions   = ["kms:Decrypt"]
      resources = [var.kms_key_arn]
      conditions = { StringEquals = {
        "kms:ViaService"                    = ["sqs.eu-central-1.amazonaws.com"]
        "kms:EncryptionContext:aws:sqs:arn" = ["arn:aws:sqs:eu-central-1:123456789012:users"]
      } }
    }])
    error_message = "The function may decrypt what it reads from its own queue."
  }

  assert {
    condition = jsonencode(output.send_statements) == jsonencode([
      { actions = ["sqs:SendMessage"], resources = ["arn:aws:sqs:eu-central-1:123456789012:users"], conditions = null },
      {
        actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
        resources = [var.kms_key_arn]
        conditions = { StringEquals = {
          "kms:ViaService"                    = ["sqs.eu-central-1.amazonaws.com"]
          "kms:EncryptionContext:aws:sqs:arn" = ["arn:aws:sqs:eu-central-1:123456789012:users"]
        } }
      },
    ])
    error_message = "Whoever sends to the queue may encrypt for it."
  }
}

run "own_visibility_timeout" {
  command = plan

  variables {
    queues = { retention_seconds = 1209600, max_receive_count = 5, visibility_timeout_seconds = 90, max_message_bytes = 200000 }
  }

  module {
    source = "./modules/consumer"
  }

  assert {
    condition     = local.visibility_timeout == 90
    error_message = "The visibility timeout must be the one that was set."
  }
}
