output "vpc_id" {
  description = "Id of the VPC."
  value       = aws_vpc.this.id
}

output "subnet_ids" {
  description = "Ids of the private subnets, one in each availability zone."
  value       = [for zone in local.zones : aws_subnet.private[zone].id]
}

output "route_table_id" {
  description = "Id of the route table of all subnets."
  value       = aws_default_route_table.this.id
}

output "log_group_name" {
  description = "Name of the log group of the flow logs; null without."
  value       = one(aws_cloudwatch_log_group.flow[*].name)
}
