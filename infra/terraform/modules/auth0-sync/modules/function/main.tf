# A Lambda function from a zip, with a log group that exists before it and a role with only the given rights.

locals {
  # Known before the function exists: its role names it.
  arn = join(":", [
    "arn:${var.account.partition}:lambda:${var.account.region}",
    "${var.account.id}:function:${var.name}",
  ])

  log_statement = {
    effect     = "Allow"
    actions    = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources  = ["${aws_cloudwatch_log_group.this.arn}:*"]
    conditions = {}
  }

  # Lambda decrypts the environment variables in the role's name. It also makes a grant for that, but to the role as it was
  # when the function was created: a role that is created again would be locked out.
  environment_statements = [
    for key in var.kms_key_arn[*] : {
      effect     = "Allow"
      actions    = ["kms:Decrypt"]
      resources  = [key]
      conditions = { StringEquals = { "kms:EncryptionContext:aws:lambda:FunctionArn" = [local.arn] } }
    }
  ]

  # Lambda checks these on the function's role; they cannot be narrowed to one network interface beforehand. They are for
  # Lambda, and not for the code that runs in the function.
  network_interface_actions = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
  ]

  vpc_statements = concat([
    for _ in var.vpc_config[*] : {
      effect     = "Allow"
      actions    = local.network_interface_actions
      resources  = ["*"]
      conditions = {}
    }
    ], [
    for _ in var.vpc_config[*] : {
      effect     = "Deny"
      actions    = local.network_interface_actions
      resources  = ["*"]
      conditions = { ArnEquals = { "lambda:SourceFunctionArn" = [local.arn] } }
    }
  ])

  statements = concat(
    [local.log_statement],
    local.environment_statements,
    local.vpc_statements,
    [for statement in var.statements : merge(statement, { effect = "Allow" })],
  )
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:How long to keep logs is a setting, logs.retention_days; they hold counts and hashed ids, no data
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

# Without aws:SourceAccount: AWS does not document that Lambda sends it with this request, and nobody can pass a role to a
# function of another account (IAM User Guide, "Granting a user permissions to pass a role to an AWS service").
resource "aws_iam_role" "this" {
  name                 = var.name
  description          = "Role of the Lambda function ${var.name}."
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "function"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      for statement in local.statements : {
        for element, value in {
          Effect    = statement.effect
          Action    = statement.actions
          Resource  = statement.resources
          Condition = statement.conditions
        } : element => value if element != "Condition" || length(statement.conditions) > 0
      }
    ]
  })
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_50:Lags, counts and errors are metrics and logs already; X-Ray's library adds a quarter of a second to each cold start, and from the VPC no request reaches it
  #checkov:skip=CKV_AWS_116:A message that a function cannot handle stays in its queue, and moves to that queue's dead-letter queue; the other functions run in a deployment, which reports the error, or on a schedule, which repeats them
  #checkov:skip=CKV_AWS_272:The package is built from pinned, hashed requirements, its hash is in the plan, and only the principal that deploys may change it; a signing profile is your organisation's choice
  function_name    = var.name
  description      = var.description
  role             = aws_iam_role.this.arn
  filename         = var.package
  source_code_hash = filebase64sha256(var.package)
  handler          = var.handler
  runtime          = var.runtime
  architectures    = [var.architecture]
  memory_size      = var.memory_mb
  timeout          = var.timeout_seconds

  reserved_concurrent_executions = var.reserved_concurrency
  kms_key_arn                    = var.kms_key_arn

  environment {
    variables = var.environment
  }

  dynamic "vpc_config" {
    for_each = var.vpc_config[*]

    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.this]
}
