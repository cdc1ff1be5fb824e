# A DNS firewall for the VPC that the module makes: the VPC's resolver answers for the database alone, so that no code in the
# VPC sends data out in names. Apply it after the deployment, with a state of its own. Not for a VPC of yours, which has
# other names to look up.

terraform {
  required_version = ">= 1.9"
}

provider "aws" {
  region = var.region
}

data "aws_vpc" "database" {
  tags = { Name = var.deployment }
}

data "aws_rds_cluster" "database" {
  cluster_identifier = var.deployment
}

resource "aws_route53_resolver_firewall_domain_list" "database" {
  name    = "${var.deployment}-database"
  domains = [data.aws_rds_cluster.database.endpoint, data.aws_rds_cluster.database.reader_endpoint]
}

resource "aws_route53_resolver_firewall_domain_list" "all" {
  name    = "${var.deployment}-all"
  domains = ["*"]
}

resource "aws_route53_resolver_firewall_rule_group" "this" {
  name = var.deployment
}

resource "aws_route53_resolver_firewall_rule" "database" {
  name                    = "database"
  priority                = 1
  action                  = "ALLOW"
  firewall_domain_list_id = aws_route53_resolver_firewall_domain_list.database.id
  firewall_rule_group_id  = aws_route53_resolver_firewall_rule_group.this.id

  # An endpoint is an alias of the instance that has its role now, whose name a failover changes.
  firewall_domain_redirection_action = "TRUST_REDIRECTION_DOMAIN"
}

resource "aws_route53_resolver_firewall_rule" "all" {
  name                    = "all"
  priority                = 2
  action                  = "BLOCK"
  block_response          = "NXDOMAIN"
  firewall_domain_list_id = aws_route53_resolver_firewall_domain_list.all.id
  firewall_rule_group_id  = aws_route53_resolver_firewall_rule_group.this.id
}

# The firewall begins here, when both rules are there.
resource "aws_route53_resolver_firewall_rule_group_association" "this" {
  name                   = var.deployment
  priority               = 101
  firewall_rule_group_id = aws_route53_resolver_firewall_rule_group.this.id
  vpc_id                 = data.aws_vpc.database.id

  depends_on = [aws_route53_resolver_firewall_rule.database, aws_route53_resolver_firewall_rule.all]
}

output "names" {
  description = "Names that the VPC's resolver answers for."
  value       = aws_route53_resolver_firewall_domain_list.database.domains
}
