# The key: what AWS's services may do with it, for whom, and nothing else.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  account = { id = "123456789012", partition = "aws", region = "eu-central-1" }
  name    = "auth0-sync-test"
}

run "key" {
  module {
    source = "./modules/key"
  }

  assert {
    condition     = aws_kms_key.this.enable_key_rotation && aws_kms_key.this.deletion_window_in_days == 30
    error_message = "The key must be renewed every year, and its deletion must be as slow as AWS allows: it deletes all data."
  }

  assert {
    condition     = aws_kms_alias.this.name == "alias/auth0-sync-test" && aws_kms_alias.this.target_key_id == aws_kms_key.this.key_id
    error_message = "People must find the key by its name."
  }

  assert {
    condition     = [for s in jsondecode(aws_kms_key.this.policy).Statement : "${s.Sid}: ${join(", ", values(s.Principal))}"] == ["Iam: arn:aws:iam::123456789012:root", "LogGroups: logs.eu-central-1.amazonaws.com", "EventsToQueues: events.amazonaws.com", "AlarmsToTopic: cloudwatch.amazonaws.com"]
    error_message = "Only the account's own principals, CloudWatch Logs, EventBridge and CloudWatch's alarms use the key."
  }

  assert {
    condition     = alltrue([for s in jsondecode(aws_kms_key.this.policy).Statement : s.Effect == "Allow" && s.Resource == "*"])
    error_message = "Every statement allows something on this key."
  }

  assert {
    condition     = alltrue([for s in jsondecode(aws_kms_key.this.policy).Statement : can(s.Condition) || s.Sid == "Iam"])
    error_message = "No service may use the key without a condition."
  }

  assert {
    condition = { for s in jsondecode(aws_kms_key.this.policy).Statement : s.Sid => s.Condition if s.Sid != "Iam" } == {
      LogGroups = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = [
        "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/*/auth0-sync-test-*",
        "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/*/auth0-sync-test/*",
      ] } }
      EventsToQueues = { ArnLike = { "kms:EncryptionContext:aws:sqs:arn" = "arn:aws:sqs:eu-central-1:123456789012:auth0-sync-test-*" } }
      AlarmsToTopic = {
        StringEquals = { "aws:SourceAccount" = "123456789012" }
        ArnLike      = { "aws:SourceArn" = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:auth0-sync-test-*" }
      }
    }
    error_message = "Each service may use the key for what belongs to this deployment."
  }

  assert {
    condition     = alltrue([for s in jsondecode(aws_kms_key.this.policy).Statement : length(setsubtract(flatten([s.Action]), ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKey*", "kms:ReEncrypt*"])) == 0 if s.Sid != "Iam"])
    error_message = "Services encrypt and decrypt; they do not manage the key."
  }
}
