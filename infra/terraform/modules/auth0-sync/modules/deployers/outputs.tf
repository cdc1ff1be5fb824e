output "arns" {
  description = "Who deployed first: the ARN of a user, or patterns of a role's."
  value       = terraform_data.deployers.input
}
