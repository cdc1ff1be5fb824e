# The comparison of the stores: off by default; in the VPC of the cluster with a way to DynamoDB, and to nothing else.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

mock_provider "aws" {
  alias           = "source"
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  environment = "test"
  package_dir = "tests/packages"
  auth0       = { log_stream_source_name = "aws.partner/auth0.com/acme-1a2b3c4d/auth0.logs" }

  # Of the module that compares
  statements           = []
  users_table_arn      = "arn:aws:dynamodb:eu-central-1:123456789012:table/auth0-sync-test-users"
  function             = { package = "tests/packages/reconcile.zip", runtime = "python3.13", architecture = "arm64", memory_mb = 1769, log_retention_days = 90 }
  function_environment = {}
}

run "off" {
  command = plan

  variables {
    aurora = {}
  }

  assert {
    condition     = length(module.reconcile) == 0 && !contains(keys(output.function_names), "reconcile") && !contains(keys(output.alarm_names), "drift")
    error_message = "Nothing compares the stores unless asked for."
  }
}

run "on" {
  command = plan

  variables {
    aurora    = {}
    reconcile = {}
  }

  assert {
    condition     = output.function_names.reconcile == "auth0-sync-test-reconcile" && output.log_group_names.reconcile == "/aws/lambda/auth0-sync-test-reconcile"
    error_message = "The comparison has a function."
  }

  assert {
    condition     = length(setsubtract(["drift", "reconcile-errors", "reconcile-unfinished"], keys(output.alarm_names))) == 0
    error_message = "Drift must ring, and so must a comparison that fails or does not finish."
  }
}

run "server_of_ones_own" {
  command = plan

  variables {
    database_url        = "postgresql://writer@db.example.com/app"
    reader_database_url = "postgresql://auth0_reader@db.example.com/app"
    reconcile           = {}
  }

  assert {
    condition     = nonsensitive(local.database_environment.reader.DATABASE_URL) == "postgresql://auth0_reader@db.example.com/app"
    error_message = "The comparison signs in as a reader."
  }
}

run "a_writer_is_no_reader" {
  command = plan

  variables {
    database_url = "postgresql://writer@db.example.com/app"
    reconcile    = {}
  }

  expect_failures = [output.database]
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
