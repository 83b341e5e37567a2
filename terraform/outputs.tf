output "resources" {
  description = "The resources, by name: what carries the records of each."
  value = {
    for name in keys(local.resources) : name => {
      topic                 = google_pubsub_topic.stream[name].name
      pipeline_subscription = google_pubsub_subscription.pipeline[name].name
      archive_subscription  = try(google_pubsub_subscription.archive[name].name, null)
      secret                = google_secret_manager_secret.api_key[name].secret_id
      table                 = "${var.project_id}.${google_bigquery_table.table[name].dataset_id}.${google_bigquery_table.table[name].table_id}"
      service               = try(google_cloud_run_v2_service.endpoint[name].name, null)
      service_account       = google_service_account.endpoint[name].email
    }
  }
}

output "system" {
  description = "Records that the system writes itself, by name: what carries them."
  value = {
    for name in keys(local.system) : name => {
      topic                 = google_pubsub_topic.stream[name].name
      pipeline_subscription = google_pubsub_subscription.pipeline[name].name
      archive_subscription  = try(google_pubsub_subscription.archive[name].name, null)
      table                 = "${var.project_id}.${google_bigquery_table.table[name].dataset_id}.${google_bigquery_table.table[name].table_id}"
    }
  }
}

output "endpoints" {
  description = "Where each resource is sent: through the load balancer if there is one, else the service's own URL. Empty before the first image."
  value = {
    for name, service in google_cloud_run_v2_service.endpoint : name =>
    "${try("https://${var.load_balancer.domains[0]}", service.uri)}/v1/${name}"
  }
}

output "status_url" {
  description = "Where producers ask what became of a record: GET /v1/<resource>/events/<event id> of this. Null before the first image."
  value       = one([for service in google_cloud_run_v2_service.status : try("https://${var.load_balancer.domains[0]}", service.uri)])
}

output "add_key_commands" {
  description = "The command that makes an API key for a resource and adds it to its secret; it prints the key, for the producer, to the terminal and nowhere else."
  value = {
    for name, secret in google_secret_manager_secret.api_key : name =>
    "openssl rand -base64 32 | tr -d '\\n' | tee /dev/tty | gcloud secrets versions add ${secret.secret_id} --project=${var.project_id} --data-file=-"
  }
}

output "load_balancer_ip" {
  description = "Address for the domains' A records; null without a load balancer."
  value       = try(google_compute_global_address.external["external"].address, null)
}

output "image_repository" {
  description = "Where Cloud Build pushes images: HOST/PROJECT/REPOSITORY."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.repository_id}"
}

output "template_prefix" {
  description = "Where Cloud Build writes Flex Templates: one file a release, so that a new path updates the job."
  value       = "gs://${google_storage_bucket.dataflow.name}/templates"
}

output "dataflow" {
  description = "What a Dataflow job of this system is started with, also by hand: account, network, buckets, parameters, and the running job's id."
  value = {
    name              = var.pipeline.name
    region            = var.region
    service_account   = google_service_account.pipeline.email
    subnetwork        = local.subnetwork
    staging_location  = "gs://${google_storage_bucket.dataflow.name}/staging"
    temp_location     = "gs://${google_storage_bucket.dataflow.name}/temp"
    parameters        = local.pipeline_parameters
    job_id            = try(google_dataflow_flex_template_job.pipeline[0].job_id, null)
    container_spec    = var.pipeline_template
    worker_image      = var.pipeline_image
    streaming_engine  = true
    max_workers       = var.pipeline.max_workers
    autoscaling_floor = var.pipeline.min_workers
  }
}

output "datasets" {
  description = "BigQuery datasets: records, and the system's own."
  value = {
    data     = google_bigquery_dataset.data.dataset_id
    ops      = google_bigquery_dataset.ops.dataset_id
    location = google_bigquery_dataset.data.location
  }
}

output "policy_tags" {
  description = "Policy tags of columns with personal data, by kind; empty without them."
  value       = { for kind, tag in google_data_catalog_policy_tag.personal_data : kind => tag.name }
}

output "archive_bucket" {
  description = "Bucket of the raw archive, one folder a resource; null without it."
  value       = try(google_storage_bucket.archive[0].name, null)
}

output "audit_heads" {
  description = "Log bucket with the heads of the audit log's hash chains, and the command that reads them for `python -m ops audit verify`."
  value = {
    bucket  = local.audit_heads_bucket
    command = "gcloud logging read --project=${var.project_id} --bucket=${google_logging_project_bucket_config.audit_heads.bucket_id} --location=${var.region} --view=_AllLogs --freshness=30d --format=json > heads.json"
  }
}

output "dashboard" {
  description = "The dashboard's id."
  value       = google_monitoring_dashboard.overview.id
}

output "alert_policies" {
  description = "Ids of the alert policies by name."
  value = merge(
    { for name, policy in google_monitoring_alert_policy.threshold : name => policy.id },
    { for name, policy in google_monitoring_alert_policy.log : name => policy.id },
    {
      dead_letters  = google_monitoring_alert_policy.dead_letters.id
      job_silent    = google_monitoring_alert_policy.job_silent.id
      server_errors = google_monitoring_alert_policy.server_errors.id
    },
  )
}
