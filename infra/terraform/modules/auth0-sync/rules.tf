# The rules on each bus, those without a target too: EventBridge counts the matches of a rule (CloudWatch, AWS/Events), so
# a rule without a target counts the events that the deployment does not handle.
# Patterns live in files of their own, so that they can be tried with `aws events test-event-pattern` as they are. The
# files take events of every Auth0 tenant; a rule takes those of its own stream's source alone.

locals {
  event_sources = merge(
    { log-stream = var.auth0.log_stream_source_name },
    var.auth0.event_stream_source_name == null ? {} : { event-stream = var.auth0.event_stream_source_name },
  )

  partner_bus_names = merge(
    { log-stream = module.log_bus.name },
    { for bus in module.event_bus : "event-stream" => bus.name },
  )

  # The buses that the rules are on, in the data's region.
  bus_names = var.auth0.source_region == null ? tomap(local.partner_bus_names) : tomap({ for stream, relay in module.relay : stream => relay.bus_name })

  subjects = {
    user-changes = {
      description = "Events that carry a user as it is now, or say that it is gone."
      streams     = ["log-stream", "event-stream"]
    }
    user-signals = {
      description = "Events that name a user who has to be fetched; logins apart."
      streams     = ["log-stream", "event-stream"]
    }
    logins = {
      description = "Logins, after each of which a user can be fetched."
      streams     = ["log-stream"]
    }
  }

  # By subject, then by stream: only the streams that there are.
  rules = {
    for subject, _ in local.subjects : subject => {
      for stream, _ in local.bus_names : stream => aws_cloudwatch_event_rule.this["${subject}-${stream}"]
      if contains(local.subjects[subject].streams, stream)
    }
  }
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each = merge([
    for subject, about in local.subjects : {
      for stream, bus_name in local.bus_names : "${subject}-${stream}" => {
        description = about.description
        bus_name    = bus_name
        pattern     = jsondecode(file("${path.module}/patterns/${replace(stream, "-", "_")}_${replace(subject, "-", "_")}.json"))
        source      = local.event_sources[stream]
      } if contains(about.streams, stream)
    }
  ]...)

  name           = "${local.prefix}-${each.key}"
  description    = each.value.description
  event_bus_name = each.value.bus_name
  event_pattern  = jsonencode(merge(each.value.pattern, { source = [each.value.source] }))
}
