# One partner event bus. The source belongs to Auth0: it appears in this account when the stream is created in Auth0's
# dashboard (or API), waits there as PENDING, and delivers once a bus of its name accepts it.

# Terraform shows the line below if the source does not exist, hence the advice at its end.
data "aws_cloudwatch_event_source" "this" { # Not found? Create the stream in Auth0 for this AWS account and region, and copy the source's exact name from there, not from AWS.
  count = var.create ? 1 : 0

  name_prefix = var.source_name

  lifecycle {
    postcondition {
      condition     = self.name == var.source_name
      error_message = <<-EOT
        There is no partner event source "${var.source_name}" in this account and region; the nearest is "${coalesce(self.name, "(none)")}".
        Before you take that one, verify the id in Auth0: anybody with an Auth0 tenant can make one for this account.
        Create the Log Stream or Event Stream in Auth0 (to Amazon EventBridge, with this AWS account id and region),
        then use the full name of its event source, which ends in /auth0.logs or /auth0.events.
      EOT
    }

    postcondition {
      condition     = self.state != "DELETED"
      error_message = <<-EOT
        The partner event source "${var.source_name}" was deleted by Auth0 and delivers nothing.
        Create the stream again in Auth0 and use the name of the new event source.
      EOT
    }
  }
}

resource "aws_cloudwatch_event_bus" "this" {
  count = var.create ? 1 : 0

  name              = var.source_name
  event_source_name = data.aws_cloudwatch_event_source.this[0].name
}

data "aws_cloudwatch_event_bus" "this" {
  count = var.create ? 0 : 1

  name = var.source_name
}
