variable "deployment" {
  description = "The deployment's name, <name>-<environment>, which its VPC and its cluster have."
  type        = string
}

variable "region" {
  description = "Region of the data."
  type        = string
}
