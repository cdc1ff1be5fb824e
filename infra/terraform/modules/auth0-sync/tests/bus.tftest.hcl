# The partner event source: found, missing, deleted.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  source_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs"
}

run "pending_source_is_accepted" {
  module {
    source = "./modules/bus"
  }

  assert {
    condition     = aws_cloudwatch_event_bus.this[0].name == var.source_name && aws_cloudwatch_event_bus.this[0].event_source_name == var.source_name
    error_message = "The bus must have the name of its source, and accept it."
  }
}

run "only_a_longer_name_exists" {
  command = plan

  module {
    source = "./modules/bus"
  }

  variables {
    source_name = "aws.partner/auth0.com/acme"
  }

  expect_failures = [data.aws_cloudwatch_event_source.this]
}

run "source_is_deleted" {
  command = plan

  module {
    source = "./modules/bus"
  }

  override_data {
    target = data.aws_cloudwatch_event_source.this
    values = {
      name  = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs"
      state = "DELETED"
    }
  }

  expect_failures = [data.aws_cloudwatch_event_source.this]
}
