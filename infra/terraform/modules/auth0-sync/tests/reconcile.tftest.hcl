# The comparison of the stores: in the VPC of the cluster with a way to DynamoDB, and to nothing else. variants.tftest.hcl
# has it on and off.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  account              = { id = "123456789012", partition = "aws", region = "eu-central-1" }
  statements           = []
  users_table_arn      = "arn:aws:dynamodb:eu-central-1:123456789012:table/auth0-sync-test-users"
  function             = { package = "tests/packages/reconcile.zip", runtime = "python3.13", architecture = "arm64", memory_mb = 1769, log_retention_days = 90 }
  function_environment = {}
}

run "in_our_vpc" {
  command = plan

  variables {
    name       = "auth0-sync-test-reconcile"
    schedule   = "rate(1 day)"
    vpc_config = { subnet_ids = ["subnet-a", "subnet-b"], security_group_ids = ["sg-database-clients"] }
    aurora_vpc = { vpc_id = "vpc-mock", route_table_ids = ["rtb-mock"] }
  }

  module {
    source = "./modules/reconcile"
  }

  assert {
    condition     = aws_vpc_endpoint.dynamodb[0].vpc_endpoint_type == "Gateway" && aws_vpc_endpoint.dynamodb[0].service_name == "com.amazonaws.eu-central-1.dynamodb" && aws_vpc_endpoint.dynamodb[0].route_table_ids == toset(["rtb-mock"])
    error_message = "The way to DynamoDB costs nothing."
  }

  assert {
    condition = jsondecode(aws_vpc_endpoint.dynamodb[0].policy).Statement == [{
      Effect    = "Allow"
      Principal = "*"
      Action    = ["dynamodb:BatchGetItem", "dynamodb:Scan"]
      Resource  = ["arn:aws:dynamodb:eu-central-1:123456789012:table/auth0-sync-test-users"]
      Condition = { ArnEquals = { "aws:PrincipalArn" = "arn:aws:iam::123456789012:role/auth0-sync-test-reconcile" } }
    }]
    error_message = "The endpoint lets the function read the users table, and nobody anything else."
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.dynamodb[0].prefix_list_id == "pl-0123456789abcdef0" && aws_vpc_security_group_egress_rule.dynamodb[0].from_port == 443 && aws_vpc_security_group_egress_rule.dynamodb[0].to_port == 443
    error_message = "The function's own group reaches DynamoDB, by TLS."
  }

  assert {
    condition     = tolist(local.vpc_config.security_group_ids) == tolist(["sg-database-clients", "sg-0123456789abcdef0"])
    error_message = "The function is in two groups: that of the database's clients, and its own."
  }
}

run "in_a_vpc_of_ones_own" {
  command = plan

  variables {
    name       = "auth0-sync-test-reconcile"
    schedule   = "cron(0 3 * * ? *)"
    vpc_config = { subnet_ids = ["subnet-a", "subnet-b"], security_group_ids = ["sg-database-clients"] }
    aurora_vpc = { vpc_id = "vpc-theirs", route_table_ids = [] }
  }

  module {
    source = "./modules/reconcile"
  }

  assert {
    condition     = length(aws_vpc_endpoint.dynamodb) == 0 && length(aws_security_group.this) == 1
    error_message = "A network of the user's keeps its routes."
  }
}

run "outside" {
  command = plan

  variables {
    name       = "auth0-sync-test-reconcile"
    schedule   = "rate(1 day)"
    vpc_config = null
    aurora_vpc = null
  }

  module {
    source = "./modules/reconcile"
  }

  assert {
    condition     = local.vpc_config == null && length(aws_vpc_endpoint.dynamodb) + length(aws_security_group.this) == 0
    error_message = "A server outside any VPC needs no network."
  }
}
