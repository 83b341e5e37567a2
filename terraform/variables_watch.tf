variable "monitoring" {
  description = <<-EOT
    - notification_channels: channels that hear of alerts, projects/PROJECT/notificationChannels/ID
    - emails: addresses for which channels are made
    - oldest_unacked_seconds: age of the oldest message that the pipeline has not acknowledged
    - archive_unacked_seconds: the same for the archive
    - dead_letter_ratio: dead letters among the records read, over 30 minutes
    - server_error_ratio: 5xx among the answers of a service, over 5 minutes
    - refused_keys_per_minute: 401 answers of a service
    - job_silent_minutes: how long the job may be without a sign of life
    - reconciliation_hours: how often a query asks whether what was accepted has arrived, 1 to 24; each reads the
      ids of eight days of all tables. 0 leaves it out, and its alert
  EOT
  type = object({
    notification_channels   = optional(list(string), [])
    emails                  = optional(set(string), [])
    oldest_unacked_seconds  = optional(number, 300)
    archive_unacked_seconds = optional(number, 3600)
    dead_letter_ratio       = optional(number, 0.05)
    server_error_ratio      = optional(number, 0.01)
    refused_keys_per_minute = optional(number, 60)
    job_silent_minutes      = optional(number, 15)
    reconciliation_hours    = optional(number, 1)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for email in var.monitoring.emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "monitoring.emails are addresses."
  }
  validation {
    condition = alltrue([
      for ratio in [var.monitoring.dead_letter_ratio, var.monitoring.server_error_ratio] : ratio > 0 && ratio < 1
    ])
    error_message = "A ratio is more than 0 and less than 1."
  }
  validation {
    condition = alltrue([
      for count in [
        var.monitoring.oldest_unacked_seconds, var.monitoring.archive_unacked_seconds,
        var.monitoring.refused_keys_per_minute, var.monitoring.job_silent_minutes,
      ] : count >= 1
    ])
    error_message = "Thresholds in seconds, minutes and requests are at least 1."
  }
  validation {
    condition     = contains(range(25), var.monitoring.reconciliation_hours)
    error_message = "monitoring.reconciliation_hours is a whole number from 0 to 24."
  }
}

variable "audit_heads" {
  description = <<-EOT
    The log bucket with the heads of the audit log's hash chains:
    - retention_days: how long they are kept, 1 to 3650; best as long as the audit log itself
    - locked: make retention_days final and bar everybody from deleting the bucket while it holds an entry;
      there is no way back
  EOT
  type = object({
    retention_days = optional(number, 2555)
    locked         = optional(bool, false)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.audit_heads.retention_days >= 1 && var.audit_heads.retention_days <= 3650
    error_message = "audit_heads.retention_days is 1 to 3650."
  }
}

variable "audit_logs" {
  description = "Data access audit logs by service, such as {\"secretmanager.googleapis.com\" = [\"DATA_READ\"]}. This owns the project's setting of the services that it names. BigQuery's are always on."
  type        = map(set(string))
  default     = {}
  nullable    = false

  validation {
    condition = alltrue(flatten([
      for types in values(var.audit_logs) : [for type in types : contains(["ADMIN_READ", "DATA_READ", "DATA_WRITE"], type)]
    ]))
    error_message = "audit_logs are lists of ADMIN_READ, DATA_READ and DATA_WRITE."
  }
}

variable "budget" {
  description = "Monthly budget of the project; mails and the notification channels hear at 50, 90 and 100 percent, and when 100 are forecast. Null leaves it out."
  type = object({
    billing_account = string
    amount          = number
    currency        = optional(string, "USD")
  })
  default = null

  validation {
    condition     = var.budget == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", try(var.budget.billing_account, "")))
    error_message = "budget.billing_account is such as 012345-6789AB-CDEF01."
  }
  validation {
    condition     = try(var.budget.amount >= 1 && floor(var.budget.amount) == var.budget.amount, true)
    error_message = "budget.amount is a whole number of the currency's units."
  }
}
