variable "name" {
  description = "Name of the deployment: prefix of the names of the queues, alarms and log groups that the key is for."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of the resources."
  type        = object({ id = string, partition = string, region = string })
}
