# The functions reach the database, and nothing else; only they and the clients that the user names reach the database,
# which reaches nothing.

resource "aws_security_group" "database" {
  name        = "${var.name}-database"
  description = "The Aurora cluster ${var.name}."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-database" }
}

resource "aws_security_group" "functions" {
  #checkov:skip=CKV2_AWS_5:Another module creates the functions that use it
  name        = "${var.name}-database-clients"
  description = "What uses the Aurora cluster ${var.name}, and nothing else."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-database-clients" }

  # Lambda takes up to 20 minutes to remove the network interfaces of a deleted function.
  timeouts {
    delete = "45m"
  }
}

resource "aws_vpc_security_group_ingress_rule" "database_from_functions" {
  security_group_id            = aws_security_group.database.id
  description                  = "Postgres, from the functions."
  referenced_security_group_id = aws_security_group.functions.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_ingress_rule" "database_from_clients" {
  for_each = var.client_security_groups

  security_group_id            = aws_security_group.database.id
  description                  = "Postgres, from ${each.key}."
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_egress_rule" "functions_to_database" {
  security_group_id            = aws_security_group.functions.id
  description                  = "Postgres, to the database."
  referenced_security_group_id = aws_security_group.database.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}
