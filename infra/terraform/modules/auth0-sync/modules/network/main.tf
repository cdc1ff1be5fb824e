# A VPC for the database and the functions that use it: private subnets, and no way to or from the internet. Nothing in it
# needs one: IAM tokens are signed by the function itself, and Lambda brings its events and takes its logs.

data "aws_availability_zones" "available" {
  #checkov:skip=CKV_AWS_394:The module uses the first three zones, and AWS names a new zone after the existing ones
  state = "available"

  # A zone of us-east-1 that lacks many services, Lambda among them. Names of zones differ from
  # account to account, ids do not.
  exclude_zone_ids = ["use1-az3"]

  # Local Zones and Wavelength Zones have neither Aurora nor Lambda.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  # Aurora needs two; with three it can place instances in each zone of its storage.
  zones = slice(data.aws_availability_zones.available.names, 0, min(3, length(data.aws_availability_zones.available.names)))
}

resource "aws_vpc" "this" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

resource "aws_subnet" "private" {
  for_each = { for index, zone in local.zones : zone => index }

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  # A quarter each for any number of zones, so that a third one moves no subnet.
  cidr_block              = cidrsubnet(var.cidr, 2, each.value)
  map_public_ip_on_launch = false

  tags = { Name = "${var.name}-private-${each.key}" }

  # Lambda takes up to 20 minutes to remove the network interfaces of a deleted function.
  timeouts {
    delete = "45m"
  }
}

# Adopt the main route table without routes: traffic stays in the VPC.
resource "aws_default_route_table" "this" {
  default_route_table_id = aws_vpc.this.default_route_table_id
  route                  = []

  tags = { Name = "${var.name}-private" }
}

# Adopt the default group without rules: resources without a security group of their own reach nothing.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-closed" }
}
