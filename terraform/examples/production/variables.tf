variable "project_id" {
  description = "Project of the production system."
  type        = string
}

variable "region" {
  description = "Region of everything."
  type        = string
  default     = "us-central1"
}

variable "organization" {
  description = "Domain of the groups and of the on-call address."
  type        = string
}

variable "domain" {
  description = "Name under which producers reach the endpoints."
  type        = string
}

variable "schemas_path" {
  description = "Contracts to deploy, as the module takes them."
  type        = string
  default     = "../schemas"
}

variable "endpoint_image" {
  description = "Image of the endpoints, by digest; null before the first build."
  type        = string
  default     = null
}

variable "status_image" {
  description = "Image of the service that tells what became of a record, by digest; null before the first build."
  type        = string
  default     = null
}

variable "pipeline_template" {
  description = "File of the Flex Template; null before the first build."
  type        = string
  default     = null
}

variable "pipeline_image" {
  description = "Image of the pipeline, by digest; null before the first build."
  type        = string
  default     = null
}

variable "resource_settings" {
  description = "Resources whose services differ from the rest, as the module takes them."
  type        = map(any)
  default     = {}
}

variable "waf_enforce" {
  description = "Whether the OWASP rules block; false until their log has shown the false alarms."
  type        = bool
  default     = false
}

variable "archive_locked" {
  description = "Whether the archive's retention is final. There is no way back."
  type        = bool
  default     = false
}

variable "audit_heads_locked" {
  description = "Whether the retention of the audit log's witnesses is final, so that nobody can remove them. There is no way back, and the log bucket outlives a destroy: set false to try the example."
  type        = bool
  default     = true
}

variable "deletion_protection" {
  description = "Whether data is safe from destroy. To remove the system: set false, apply, destroy."
  type        = bool
  default     = true
}

variable "billing_account" {
  description = "Billing account, for a budget; null leaves it out."
  type        = string
  default     = null
}

variable "monthly_budget" {
  description = "Budget in US dollars a month."
  type        = number
  default     = 5000
}
