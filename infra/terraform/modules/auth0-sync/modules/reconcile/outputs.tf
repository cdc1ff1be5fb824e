output "function_name" {
  description = "Name of the function."
  value       = module.function.name
}

output "log_group_name" {
  description = "Name of the function's log group."
  value       = module.function.log_group_name
}
