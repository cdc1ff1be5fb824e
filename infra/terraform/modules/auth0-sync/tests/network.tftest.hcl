# The VPC: private, closed, watched.

mock_provider "aws" {
  source = "./tests/mocks"

  # One more than is used.
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c", "eu-central-1d"] }
  }
}

variables {
  account            = { id = "123456789012", partition = "aws", region = "eu-central-1" }
  name               = "auth0-sync-test"
  cidr               = "10.86.0.0/24"
  kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/mock"
  log_retention_days = 30
}

run "private_subnets" {
  module {
    source = "./modules/network"
  }

  assert {
    condition     = { for zone, subnet in aws_subnet.private : zone => subnet.cidr_block } == { "eu-central-1a" = "10.86.0.0/26", "eu-central-1b" = "10.86.0.64/26", "eu-central-1c" = "10.86.0.128/26" }
    error_message = "One subnet in each of three zones, of a quarter of the addresses."
  }

  assert {
    condition     = data.aws_availability_zones.available.exclude_zone_ids == toset(["use1-az3"])
    error_message = "Lambda is not in the zone use1-az3 of us-east-1."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.private : subnet.map_public_ip_on_launch == false && subnet.vpc_id == aws_vpc.this.id])
    error_message = "No subnet gives out public addresses."
  }

  assert {
    condition     = aws_vpc.this.enable_dns_support && aws_vpc.this.enable_dns_hostnames
    error_message = "The cluster's endpoint is a name."
  }

  assert {
    condition     = aws_default_route_table.this.default_route_table_id == aws_vpc.this.default_route_table_id && length(aws_default_route_table.this.route) == 0
    error_message = "There is no route out of the VPC."
  }

  assert {
    condition     = aws_default_security_group.closed.vpc_id == aws_vpc.this.id && length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "The default security group lets nothing through."
  }

  assert {
    condition     = output.subnet_ids == [for zone in ["eu-central-1a", "eu-central-1b", "eu-central-1c"] : aws_subnet.private[zone].id] && output.vpc_id == aws_vpc.this.id
    error_message = "The outputs are the VPC's, in the order of the zones."
  }
}

run "flow_logs" {
  module {
    source = "./modules/network"
  }

  assert {
    condition     = aws_flow_log.this[0].vpc_id == aws_vpc.this.id && aws_flow_log.this[0].traffic_type == "ALL" && aws_flow_log.this[0].log_destination == aws_cloudwatch_log_group.flow[0].arn
    error_message = "All traffic in the VPC is logged."
  }

  assert {
    condition     = aws_cloudwatch_log_group.flow[0].kms_key_id == var.kms_key_arn && aws_cloudwatch_log_group.flow[0].retention_in_days == 30
    error_message = "Flow logs are encrypted, and do not stay forever."
  }

  assert {
    condition     = can(regex("^/aws/[^/]+/auth0-sync-test[-/]", aws_cloudwatch_log_group.flow[0].name))
    error_message = "The key's policy is for log groups /aws/…/<name>-… and /aws/…/<name>/…"
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role.flow[0].assume_role_policy).Statement :
      statement.Condition.StringEquals["aws:SourceAccount"] == "123456789012"
      && statement.Condition.ArnLike["aws:SourceArn"] == "arn:aws:ec2:eu-central-1:123456789012:vpc-flow-log/*"
    ])
    error_message = "Only flow logs of this account and region may write as the role."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.flow[0].policy).Statement[*].Resource == [["arn:aws:logs:eu-central-1:123456789012:log-group:mock:*"]]
    error_message = "The role may write to its own log group only."
  }
}

run "without_flow_logs" {
  module {
    source = "./modules/network"
  }

  variables {
    flow_logs = false
  }

  assert {
    condition     = length(aws_flow_log.this) + length(aws_cloudwatch_log_group.flow) + length(aws_iam_role.flow) + length(aws_iam_role_policy.flow) == 0 && output.log_group_name == null
    error_message = "Nothing is left of flow logs where they are off."
  }
}

run "two_zones" {
  module {
    source = "./modules/network"
  }

  override_data {
    target = data.aws_availability_zones.available
    values = { names = ["us-west-1a", "us-west-1c"] }
  }

  assert {
    condition     = { for zone, subnet in aws_subnet.private : zone => subnet.cidr_block } == { "us-west-1a" = "10.86.0.0/26", "us-west-1c" = "10.86.0.64/26" }
    error_message = "A region with two zones has two subnets, where they would be with three."
  }
}
