# As one would run it with patients' data: own keys, a load balancer with Cloud Armor as the only way in,
# people by group, data safe from destroy, an archive and witnesses of the audit log under retention, alerts,
# audit logs and a budget.

terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 8"
    }
    google-beta = {
      source  = "hashicorp/google-beta"
      version = ">= 6.50, < 8"
    }
  }
}

provider "google" {
  project               = var.project_id
  region                = var.region
  user_project_override = true
  billing_project       = var.project_id
}

provider "google-beta" {
  project               = var.project_id
  region                = var.region
  user_project_override = true
  billing_project       = var.project_id
}

module "vitalflow" {
  source = "../.."

  project_id          = var.project_id
  region              = var.region
  labels              = { env = "prod", data = "phi" }
  schemas_path        = var.schemas_path
  deletion_protection = var.deletion_protection
  kms_keys            = { for use, key in google_kms_crypto_key.key : use => key.id }

  endpoint_image    = var.endpoint_image
  status_image      = var.status_image
  pipeline_template = var.pipeline_template
  pipeline_image    = var.pipeline_image

  # Producers have no Google identity: Cloud Run lets everybody through who comes by the load balancer.
  endpoint = {
    ingress               = "internal-and-cloud-load-balancing"
    allow_unauthenticated = true
    memory                = "1Gi"
    min_instances         = 2
    max_instances         = 100
    cpu_always_allocated  = true
  }
  status = {
    min_instances = 1
  }
  resource_settings = var.resource_settings

  load_balancer = {
    domains             = [var.domain]
    requests_per_minute = 12000
    waf_enforce         = var.waf_enforce
    adaptive_protection = true
  }

  pipeline = {
    machine_type = "n2-standard-4"
    min_workers  = 2
    max_workers  = 50
  }

  archive = {
    retention_days   = 365
    retention_locked = var.archive_locked
  }

  audit_heads = {
    locked = var.audit_heads_locked
  }

  access = {
    analysts     = ["group:vitalflow-analysts@${var.organization}", "group:vitalflow-phi@${var.organization}"]
    phi_readers  = ["group:vitalflow-phi@${var.organization}"]
    operators    = ["group:vitalflow-operators@${var.organization}", "group:vitalflow-replay@${var.organization}"]
    replayers    = ["group:vitalflow-replay@${var.organization}"]
    key_managers = ["group:vitalflow-keys@${var.organization}"]
  }

  monitoring = {
    emails = ["vitalflow-oncall@${var.organization}"]
  }

  audit_logs = {
    "pubsub.googleapis.com"        = ["DATA_READ"]
    "secretmanager.googleapis.com" = ["DATA_READ", "DATA_WRITE"]
    "storage.googleapis.com"       = ["DATA_READ", "DATA_WRITE"]
  }

  budget = var.billing_account == null ? null : {
    billing_account = var.billing_account
    amount          = var.monthly_budget
  }
}
