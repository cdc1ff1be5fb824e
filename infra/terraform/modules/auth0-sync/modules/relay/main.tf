# A partner bus in one region -> the deployment's own bus in another. Auth0 delivers to the region that was chosen when
# the stream was created; everything else of the deployment is in the data's region, as its law may require.
# EventBridge keeps an event's source, time and id, so readers of the second bus see the event that Auth0 sent.

resource "aws_cloudwatch_event_bus" "this" {
  name = var.name
}

# EventBridge checks this policy when the target is created, whatever rights the target's role has. The check may name no
# rule, so the policy has no condition on one.
resource "aws_cloudwatch_event_bus_policy" "this" {
  event_bus_name = aws_cloudwatch_event_bus.this.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ThisAccount"
      Effect    = "Allow"
      Principal = { AWS = "arn:${var.account.partition}:iam::${var.account.id}:root" }
      Action    = "events:PutEvents"
      Resource  = aws_cloudwatch_event_bus.this.arn
    }]
  })
}

resource "aws_cloudwatch_event_rule" "this" {
  provider = aws.source

  name           = var.name
  description    = "Every event, to the bus ${var.name} in the data's region."
  event_bus_name = var.source_bus_name
  event_pattern  = jsonencode({ source = [var.source_bus_name] }) # a partner bus has the name of its source
}

resource "aws_cloudwatch_event_target" "this" {
  provider = aws.source

  rule           = aws_cloudwatch_event_rule.this.name
  event_bus_name = var.source_bus_name
  target_id      = "relay"
  arn            = aws_cloudwatch_event_bus.this.arn
  role_arn       = aws_iam_role.this.arn

  # EventBridge's maximum.
  retry_policy {
    maximum_event_age_in_seconds = 86400
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = module.undelivered.arn
  }

  depends_on = [aws_iam_role_policy.this, aws_cloudwatch_event_bus_policy.this]
}

resource "aws_iam_role" "this" {
  name                 = var.name
  description          = "Lets EventBridge forward events to the bus ${var.name}."
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account.id }
        ArnEquals    = { "aws:SourceArn" = aws_cloudwatch_event_rule.this.arn }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "events"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["events:PutEvents"]
      Resource = aws_cloudwatch_event_bus.this.arn
    }]
  })
}

module "undelivered" {
  source    = "../queue"
  providers = { aws = aws.source }

  name          = "${var.name}-undelivered"
  sqs_arn       = "arn:${var.account.partition}:sqs:${var.account.region}:${var.account.id}"
  rule_arns     = [aws_cloudwatch_event_rule.this.arn]
  operator_arns = var.operator_arns
  queues        = var.queues

  # The target's rights come before the queue, for which the provider waits 25 s, and the target after it: IAM takes
  # seconds to apply a new policy, and EventBridge does not retry denied requests.
  depends_on = [aws_iam_role_policy.this, aws_cloudwatch_event_bus_policy.this]
}
