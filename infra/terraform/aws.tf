# The providers' settings. The commands evaluate this file and the module's variables alone.

variable "region" {
  description = "AWS region of the data; null takes it from the AWS configuration (AWS_REGION, profile)."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags for every resource, besides Project, Deployment, Environment and Version."
  type        = map(string)
  default     = {}
}

variable "s3_use_path_style" {
  description = "Address buckets by path instead of by host name, for S3-compatible servers without wildcard DNS."
  type        = bool
  default     = false
}
