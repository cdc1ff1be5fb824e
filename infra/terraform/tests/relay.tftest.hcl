# The relay: what a queue of the data's region takes, the dead-letter queue in the source's region takes too.

mock_provider "aws" {
  source = "./tests/mocks"
}

mock_provider "aws" {
  alias  = "source"
  source = "./tests/mocks"
}

run "relay" {
  module {
    source = "./modules/relay"
  }

  providers = {
    aws        = aws
    aws.source = aws.source
  }

  variables {
    name                  = "auth0-sync-test-log-stream"
    source_bus_name       = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs"
    target_retry          = { maximum_event_age_seconds = 86400, maximum_retry_attempts = 185 }
    dlq_retention_seconds = 1209600
    dlq_max_message_bytes = 200000
  }

  assert {
    condition     = aws_sqs_queue.undelivered.max_message_size == 200000
    error_message = "The dead-letter queue must take what the queues take."
  }
}
