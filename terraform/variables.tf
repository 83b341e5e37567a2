variable "project_id" {
  description = "Project that holds the whole system."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is 6 to 30 of a-z, 0-9 and hyphens; it begins with a letter and does not end in a hyphen."
  }
}

variable "region" {
  description = "Region of endpoints, pipeline, images, buckets and, unless bigquery.location says otherwise, of the datasets."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "region is a region such as europe-west3, not a zone or a multi-region."
  }
}

variable "labels" {
  description = "Labels for everything that takes some."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([
      for key, value in var.labels :
      can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))
    ])
    error_message = "Keys and values of labels are up to 63 of a-z, 0-9, _ and -; a key begins with a letter."
  }
}

variable "schemas_path" {
  description = "Folder of contracts and of what is generated from them: absolute, or relative to this module."
  type        = string
  default     = "../schemas"
  nullable    = false

  validation {
    condition     = length(var.schemas_path) > 0 && !endswith(var.schemas_path, "/")
    error_message = "schemas_path is a folder, without a slash at its end."
  }
}

variable "enable_apis" {
  description = "Whether to enable the APIs that the system calls; false where another configuration does."
  type        = bool
  default     = true
  nullable    = false
}

variable "deletion_protection" {
  description = "Whether data is safe from destroy: tables, datasets, buckets and secrets refuse to go while it is true."
  type        = bool
  default     = true
  nullable    = false
}

variable "kms_keys" {
  description = "Customer-managed keys by what they encrypt; what is left out uses Google's. A key lies where its data lies. The services' agents are given the right to use them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = length(setsubtract(keys(var.kms_keys), [
      "artifact_registry", "bigquery", "cloud_run", "dataflow", "pubsub", "secret_manager", "storage",
    ])) == 0
    error_message = "kms_keys knows artifact_registry, bigquery, cloud_run, dataflow, pubsub, secret_manager and storage."
  }
  validation {
    condition = alltrue([
      for key in values(var.kms_keys) :
      can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", key))
    ])
    error_message = "A key is projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY."
  }
}

variable "access" {
  description = <<-EOT
    Who may do what, as IAM principals:
    - analysts: query tables and views; personal data is masked
    - phi_readers: besides, see personal data in the clear; name them in analysts too
    - operators: see dead letters without their payload, jobs, metrics and logs
    - replayers: besides, read payloads and the archive, and publish; name them in operators too
    - key_managers: add, list and disable API keys; never read them
    - invokers: call the endpoints with an ID token, where the endpoints ask for one
  EOT
  type = object({
    analysts     = optional(set(string), [])
    phi_readers  = optional(set(string), [])
    operators    = optional(set(string), [])
    replayers    = optional(set(string), [])
    key_managers = optional(set(string), [])
    invokers     = optional(set(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for member in flatten(values(var.access)) :
      can(regex("^(user|group|serviceAccount):[^@:]+@[^@:]+$|^(principal|principalSet)://", member))
    ])
    error_message = "A principal is user:, group: or serviceAccount: with an address, or principal:// or principalSet://; nobody is allUsers or allAuthenticatedUsers."
  }
}
