output "arns" {
  description = "ARN of the user that deployed first, or patterns of its role's ARN."
  value       = terraform_data.deployers.input
}
