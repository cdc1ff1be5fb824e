# A function has only the given rights, through the given services; its log expires; and only its schedule, if any, may
# invoke it.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  account            = { id = "123456789012", partition = "aws", region = "eu-central-1" }
  name               = "users"
  description        = "Test."
  package            = "tests/packages/sync-dynamodb.zip"
  handler            = "pipeline.functions.sync.handler"
  runtime            = "python3.13"
  architecture       = "arm64"
  memory_mb          = 512
  timeout_seconds    = 60
  log_retention_days = 30
  environment        = { SINK = "dynamodb" }
  statements         = [{ actions = ["dynamodb:PutItem"], resources = ["arn:aws:dynamodb:eu-central-1:123456789012:table/users"] }]
}

run "function" {
  module {
    source = "./modules/function"
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.this.policy).Statement == [
      { Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = ["arn:aws:logs:eu-central-1:123456789012:log-group:mock:*"] },
      { Effect = "Allow", Action = ["dynamodb:PutItem"], Resource = ["arn:aws:dynamodb:eu-central-1:123456789012:table/users"] },
    ]
    error_message = "The role must allow the function's log and what it was given, only."
  }

  assert {
    condition     = jsondecode(aws_iam_role.this.assume_role_policy).Statement == [{ Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" }, Action = "sts:AssumeRole" }]
    error_message = "Only Lambda may take the role."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.name == "/aws/lambda/users" && aws_cloudwatch_log_group.this.retention_in_days == 30
    error_message = "The log group must be the one that Lambda writes to, and must not keep logs for ever."
  }

  assert {
    condition     = aws_lambda_function.this.kms_key_arn == null && aws_cloudwatch_log_group.this.kms_key_id == null
    error_message = "Without a key, AWS's are used."
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.schedule) + length(aws_lambda_permission.schedule) + length(aws_cloudwatch_event_target.schedule) == 0
    error_message = "Without a schedule, no rule may start the function."
  }
}

run "key_and_conditions" {
  module {
    source = "./modules/function"
  }

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    statements = [{
      actions    = ["kms:Decrypt"]
      resources  = ["arn:aws:kms:eu-central-1:123456789012:key/another"]
      conditions = { StringEquals = { "kms:ViaService" = ["sqs.eu-central-1.amazonaws.com"] } }
    }]
  }

  assert {
    condition     = aws_lambda_function.this.kms_key_arn == var.kms_key_arn && aws_cloudwatch_log_group.this.kms_key_id == var.kms_key_arn
    error_message = "The key must encrypt the environment variables and the log."
  }

  assert {
    condition = slice(jsondecode(aws_iam_role_policy.this.policy).Statement, 1, 3) == [
      {
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = [var.kms_key_arn]
        Condition = { StringEquals = { "kms:EncryptionContext:aws:lambda:FunctionArn" = ["arn:aws:lambda:eu-central-1:123456789012:function:users"] } }
      },
      {
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = ["arn:aws:kms:eu-central-1:123456789012:key/another"]
        Condition = { StringEquals = { "kms:ViaService" = ["sqs.eu-central-1.amazonaws.com"] } }
      },
    ]
    error_message = "The role may decrypt its own environment, and what it is told to under the conditions that it is told."
  }
}

run "in_a_vpc" {
  module {
    source = "./modules/function"
  }

  variables {
    vpc_config = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }

  assert {
    condition = [for s in jsondecode(aws_iam_role_policy.this.policy).Statement : [s.Effect, try(s.Condition, {})] if s.Resource == ["*"]] == [
      ["Allow", {}],
      ["Deny", { ArnEquals = { "lambda:SourceFunctionArn" = ["arn:aws:lambda:eu-central-1:123456789012:function:users"] } }],
    ]
    error_message = "Lambda must be able to make network interfaces, and the function's code must not."
  }

  assert {
    condition     = alltrue([for s in jsondecode(aws_iam_role_policy.this.policy).Statement : alltrue([for action in s.Action : startswith(action, "ec2:")]) if s.Resource == ["*"]])
    error_message = "Nothing but network interfaces may be allowed everywhere."
  }
}

run "on_a_schedule" {
  module {
    source = "./modules/function"
  }

  variables {
    schedule = { expression = "rate(1 hour)", description = "When to look." }
  }

  assert {
    condition     = aws_cloudwatch_event_rule.schedule[0].schedule_expression == "rate(1 hour)" && aws_lambda_permission.schedule[0].source_arn == aws_cloudwatch_event_rule.schedule[0].arn && aws_lambda_permission.schedule[0].principal == "events.amazonaws.com"
    error_message = "The schedule, and no other rule, may start the function."
  }

  assert {
    condition     = aws_cloudwatch_event_target.schedule[0].rule == "users" && aws_cloudwatch_event_target.schedule[0].arn == aws_lambda_function.this.arn
    error_message = "The rule must start the function."
  }
}
