# A comparison of the two stores on a schedule: rule -> function. In the VPC of the deployment's cluster, the function
# reaches DynamoDB by a gateway endpoint, which costs nothing.

locals {
  # Known before the function's role exists.
  role_arn = "arn:${var.account.partition}:iam::${var.account.id}:role/${var.name}"

  dynamodb = "com.amazonaws.${var.account.region}.dynamodb"

  vpc_config = var.vpc_config == null ? null : {
    subnet_ids = var.vpc_config.subnet_ids
    # Read from the rule, so that the function waits for it.
    security_group_ids = concat(var.vpc_config.security_group_ids, aws_vpc_security_group_egress_rule.dynamodb[*].security_group_id)
  }
}

data "aws_prefix_list" "dynamodb" {
  count = var.aurora_vpc == null ? 0 : 1

  name = local.dynamodb
}

resource "aws_security_group" "this" {
  #checkov:skip=CKV2_AWS_5:Another module creates the function that uses it

  count = var.aurora_vpc == null ? 0 : 1

  name        = var.name
  description = "The reconcile function: to DynamoDB, and nothing else."
  vpc_id      = var.aurora_vpc.vpc_id

  tags = { Name = var.name }

  # Lambda takes up to 20 minutes to remove the network interfaces of a deleted function.
  timeouts {
    delete = "45m"
  }
}

resource "aws_vpc_security_group_egress_rule" "dynamodb" {
  count = length(aws_security_group.this)

  security_group_id = aws_security_group.this[0].id
  description       = "DynamoDB, by its prefix list."
  prefix_list_id    = data.aws_prefix_list.dynamodb[0].id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# A VPC of the user's has its own way to DynamoDB.
resource "aws_vpc_endpoint" "dynamodb" {
  count = var.aurora_vpc == null ? 0 : length(var.aurora_vpc.route_table_ids) > 0 ? 1 : 0

  vpc_id            = var.aurora_vpc.vpc_id
  service_name      = local.dynamodb
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.aurora_vpc.route_table_ids

  # The endpoint serves the whole VPC, so its policy admits only this function's role and its two reads.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = "*"
      Action    = ["dynamodb:BatchGetItem", "dynamodb:Scan"]
      Resource  = [var.users_table_arn]
      Condition = { ArnEquals = { "aws:PrincipalArn" = local.role_arn } }
    }]
  })

  tags = { Name = var.name }
}

module "function" {
  source = "../function"

  account                  = var.account
  name                     = var.name
  description              = "Compares the users in Postgres with those in DynamoDB."
  package                  = var.function.package
  handler                  = "pipeline.functions.reconcile.handler"
  runtime                  = var.function.runtime
  architecture             = var.function.architecture
  memory_mb                = var.function.memory_mb
  timeout_seconds          = 900
  log_retention_days       = var.function.log_retention_days
  statements               = var.statements
  vpc_config               = local.vpc_config
  kms_key_arn              = var.kms_key_arn
  permissions_boundary_arn = var.permissions_boundary_arn
  environment              = merge(var.function_environment, { SERVICE_NAME = "reconcile" })
  schedule = {
    expression  = var.schedule
    description = "Runs the reconcile function, which compares the stores."
  }
}
