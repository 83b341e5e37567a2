# What variables refuse: in each run, every variable that is named holds one wrong value. A validation
# that looks at another variable is tried where that one is right.

mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "demo-project"
  region     = "europe-west3"
}

run "malformed" {
  command = plan
  variables {
    project_id        = "Demo_Project"
    region            = "europe-west3-a"
    labels            = { Env = "prod" }
    kms_keys          = { pubsub = "vitalflow" }
    access            = { analysts = ["allUsers"] }
    endpoint_image    = "endpoint"
    status_image      = "status"
    status            = { cpu = "3" }
    endpoint          = { ingress = "public" }
    pipeline_template = "templates/1.json"
    pipeline          = { name = "Vitalflow" }
    network           = { subnetwork = "workers" }
    bigquery          = { dataset = "health-care" }
    monitoring        = { emails = ["oncall"] }
    audit_logs        = { "storage.googleapis.com" = ["READ"] }
    budget            = { billing_account = "mine", amount = 1 }
  }
  expect_failures = [
    var.project_id, var.region, var.labels, var.kms_keys, var.access, var.endpoint_image, var.status_image, var.status, var.endpoint,
    var.pipeline_template, var.pipeline, var.network, var.bigquery, var.monitoring, var.audit_logs, var.budget,
  ]
}

run "out_of_range" {
  command = plan
  variables {
    kms_keys          = { spanner = "projects/p/locations/l/keyRings/r/cryptoKeys/k" }
    resource_settings = { pets = { max_instances = 1 } }
    load_balancer     = { domains = ["ingest.example.org"], waf_sensitivity = 5 }
    pipeline          = { min_workers = 0 }
    network           = { cidr = "10.64.0.0" }
    pubsub            = { retention_days = 32 }
    bigquery          = { time_travel_hours = 24 }
    archive           = { max_file_minutes = 11 }
    monitoring        = { dead_letter_ratio = 5 }
    status            = { concurrency = 101 }
    audit_heads       = { retention_days = 3651 }
  }
  expect_failures = [
    var.kms_keys, var.resource_settings, var.load_balancer, var.pipeline, var.network, var.pubsub, var.bigquery, var.archive,
    var.monitoring, var.status, var.audit_heads,
  ]
}

run "contradicting" {
  command = plan
  variables {
    endpoint          = { ingress = "internal" }
    load_balancer     = { domains = ["ingest.example.org"] }
    pipeline_template = "gs://demo-project-vitalflow-dataflow/templates/1.json"
    pipeline          = { min_workers = 11 }
    kms_keys          = { secret_manager = "projects/p/locations/europe-west3/keyRings/r/cryptoKeys/k" }
    secret_locations  = ["europe-west3", "europe-west4"]
    bigquery          = { policy_tags = false }
    archive           = { retention_days = 3000 }
  }
  expect_failures = [
    var.load_balancer, var.pipeline_image, var.pipeline, var.secret_locations, var.bigquery, var.archive,
  ]
}

run "fewer_than_the_least" {
  command = plan
  variables {
    endpoint = { min_instances = 11 }
    bigquery = { ops_dataset = "healthcare" }
    status   = { max_instances = 0 }
  }
  expect_failures = [var.endpoint, var.bigquery, var.status]
}

run "setting_of_the_module" {
  command = plan
  variables {
    endpoint = { env = { FUNCTION_TARGET = "all" } }
    status   = { env = { DATASET = "records" } }
  }
  expect_failures = [var.endpoint, var.status]
}

run "rarer_than_daily" {
  command = plan
  variables { monitoring = { reconciliation_hours = 48 } }
  expect_failures = [var.monitoring]
}

run "way_around_the_load_balancer" {
  command = plan
  variables {
    endpoint      = { ingress = "all" }
    load_balancer = { domains = ["ingest.example.org"] }
  }
  expect_failures = [var.load_balancer]
}

run "load_balancer_without_certificate" {
  command = plan
  variables { load_balancer = {} }
  expect_failures = [var.load_balancer]
}
