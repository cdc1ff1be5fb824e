# The principal that deploys first may send to the queues, and stays the one that may. One queue shows it.

mock_provider "aws" {
  source = "./tests/mocks"
}

mock_provider "aws" {
  alias  = "source"
  source = "./tests/mocks"
}

variables {
  environment  = "test"
  package_dir  = "tests/packages"
  auth0        = { log_stream_source_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs" }
  database_url = "postgresql://writer@db.example.com/app"
}

run "first_deployer" {
  plan_options {
    target = [module.dynamodb_sink.module.queue]
  }

  assert {
    condition     = local.operator_arns == tolist(["arn:aws:iam::123456789012:role/Deployer", "arn:aws:iam::123456789012:role/*/Deployer"])
    error_message = "The principal that deploys first may send, without being named."
  }
}

run "another_deployer" {
  command = plan

  plan_options {
    target = [module.dynamodb_sink.module.queue]
  }

  override_data {
    target = data.aws_caller_identity.current
    values = { account_id = "123456789012", arn = "arn:aws:iam::123456789012:user/eve" }
  }

  assert {
    condition     = local.caller == "arn:aws:iam::123456789012:user/eve" && local.operator_arns == tolist(["arn:aws:iam::123456789012:role/Deployer", "arn:aws:iam::123456789012:role/*/Deployer"])
    error_message = "The state keeps the first principal, whoever deploys later."
  }
}
