# rule -> function, for a function on a schedule.

resource "aws_cloudwatch_event_rule" "schedule" {
  count = var.schedule == null ? 0 : 1

  name                = var.name
  description         = var.schedule.description
  schedule_expression = var.schedule.expression
}

resource "aws_lambda_permission" "schedule" {
  count = length(aws_cloudwatch_event_rule.schedule)

  function_name = aws_lambda_function.this.function_name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.schedule[0].arn
}

resource "aws_cloudwatch_event_target" "schedule" {
  count = length(aws_cloudwatch_event_rule.schedule)

  rule      = aws_cloudwatch_event_rule.schedule[0].name
  target_id = "function"
  arn       = aws_lambda_function.this.arn

  depends_on = [aws_lambda_permission.schedule]
}
