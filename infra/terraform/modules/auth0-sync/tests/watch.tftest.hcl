# The watch's topic and table. deployment.tftest.hcl has the watch off, variants.tftest.hcl has it on.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  account = { id = "123456789012", partition = "aws", region = "eu-central-1" }
}

run "module" {
  command = plan

  variables {
    name                 = "auth0-sync-test-watch"
    questions            = { mfa_weakened = {} }
    schedule             = "rate(1 hour)"
    window_days          = 2
    topic                = { arn = null, kms_key_arn = null, emails = ["security@example.com"] }
    ask_statements       = []
    function             = { package = "tests/packages/watch.zip", runtime = "python3.13", architecture = "arm64", log_retention_days = 90 }
    function_environment = { DEPLOYMENT = "auth0-sync-test" }
    kms_key_arn          = "arn:aws:kms:eu-central-1:123456789012:key/the-key"
  }

  module {
    source = "./modules/watch"
  }

  assert {
    condition     = aws_sns_topic.this[0].kms_master_key_id == var.kms_key_arn && [for s in aws_sns_topic_subscription.email : s.endpoint] == ["security@example.com"]
    error_message = "The topic is encrypted by the deployment's key, and the addresses subscribe to it."
  }

  assert {
    condition     = aws_dynamodb_table.told.ttl[0].attribute_name == "expires_at" && aws_dynamodb_table.told.billing_mode == "PAY_PER_REQUEST"
    error_message = "What has been told is forgotten by itself."
  }
}

run "topic_of_ones_own" {
  command = plan

  variables {
    name                 = "auth0-sync-test-watch"
    questions            = { mfa_weakened = {} }
    schedule             = "cron(0 6 * * ? *)"
    window_days          = 2
    topic                = { arn = "arn:aws:sns:eu-central-1:123456789012:security", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/theirs", emails = [] }
    ask_statements       = []
    function             = { package = "tests/packages/watch.zip", runtime = "python3.13", architecture = "arm64", log_retention_days = 90 }
    function_environment = {}
  }

  module {
    source = "./modules/watch"
  }

  assert {
    condition     = length(aws_sns_topic.this) == 0 && output.topic_arn == "arn:aws:sns:eu-central-1:123456789012:security"
    error_message = "A topic that is given is used, and none is created."
  }

  assert {
    condition     = [for s in local.statements : s.actions if s.resources == ["arn:aws:kms:eu-central-1:123456789012:key/theirs"]] == [["kms:Decrypt", "kms:GenerateDataKey"]]
    error_message = "Its key encrypts what the function sends."
  }
}
