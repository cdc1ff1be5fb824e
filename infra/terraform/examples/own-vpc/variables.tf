variable "log_stream_source_name" {
  description = "Name of the Log Stream's event source, as Auth0 shows it: aws.partner/auth0.com/<tenant>-<id>/auth0.logs."
  type        = string
}

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Ids of private subnets in at least two availability zones."
  type        = list(string)
}

variable "client_security_groups" {
  description = "Security groups of services that may reach the database, by names of your choice."
  type        = map(string)
  default     = {}
}

variable "package_dir" {
  description = "Directory of the functions' packages, as `auth0-sync package` builds them."
  type        = string
  default     = "../../../../build/packages/lambda"
}
