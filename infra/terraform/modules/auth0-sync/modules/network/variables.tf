variable "name" {
  description = "Name of the deployment: of the VPC, and prefix of the names in it."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of the resources."
  type        = object({ id = string, partition = string, region = string })
}

variable "cidr" {
  description = "Addresses of the VPC, /16 to /25: each subnet gets a quarter."
  type        = string
}

variable "flow_logs" {
  description = "Log the traffic in the VPC."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "KMS key of the flow logs; null for CloudWatch's own."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "Days to keep the flow logs."
  type        = number
}

variable "permissions_boundary_arn" {
  description = "IAM policy that bounds the module's roles; null: none."
  type        = string
  default     = null
}
