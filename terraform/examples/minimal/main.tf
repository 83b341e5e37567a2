# The whole system in an empty project, for a try: nothing is open to the internet, everything can be
# destroyed again. Apply once without images, build them into the repository this makes, apply with them.

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
  schemas_path        = var.schemas_path
  deletion_protection = false

  endpoint_image    = var.endpoint_image
  status_image      = var.status_image
  pipeline_template = var.pipeline_template
  pipeline_image    = var.pipeline_image

  pipeline = {
    max_workers   = 2
    at_least_once = true
  }

  # A file under retention would outlive a destroy by a day.
  archive = { enabled = false }
}
