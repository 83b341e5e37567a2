# The streaming job. Terraform keeps it as declared:
# - a changed argument, above all a new pipeline_template, updates the running job in place: Dataflow
#   starts the new job under the same name, checks that the graphs are compatible and hands the state over;
# - where Dataflow finds them incompatible, apply fails and the old job goes on. Then set
#   pipeline_template and pipeline_image to null (the job drains; Pub/Sub keeps what arrives for a week),
#   apply, set them again and apply;
# - on destroy it drains, and terraform waits for the end of it.
# Steps that were renamed are told to Dataflow by transform_name_mapping, a parameter of one update only:
# do such an update with `gcloud dataflow flex-template run --update --transform-name-mappings`.

locals {
  pipeline_parameters = merge(
    { dataset = var.bigquery.dataset, ops_dataset = var.bigquery.ops_dataset },
    # Dead letters say which release gave up: the template's file is named after it.
    var.pipeline_template == null ? {} : {
      pipeline_version = trimsuffix(basename(var.pipeline_template), ".json")
    },
    var.pipeline.parameters,
  )
}

resource "google_dataflow_flex_template_job" "pipeline" {
  provider = google-beta
  count    = var.pipeline_template == null ? 0 : 1

  project                 = var.project_id
  region                  = var.region
  name                    = var.pipeline.name
  labels                  = local.labels
  container_spec_gcs_path = var.pipeline_template
  sdk_container_image     = var.pipeline_image
  parameters              = local.pipeline_parameters
  on_delete               = var.pipeline.on_delete

  service_account_email = local.pipeline_email
  subnetwork            = "https://www.googleapis.com/compute/v1/${local.subnetwork}"
  ip_configuration      = "WORKER_IP_PRIVATE"
  kms_key_name          = lookup(var.kms_keys, "dataflow", null)
  staging_location      = "gs://${google_storage_bucket.dataflow.name}/staging"
  temp_location         = "gs://${google_storage_bucket.dataflow.name}/temp"

  enable_streaming_engine = true
  autoscaling_algorithm   = "THROUGHPUT_BASED"
  num_workers             = var.pipeline.min_workers
  max_workers             = var.pipeline.max_workers
  machine_type            = var.pipeline.machine_type
  launcher_machine_type   = var.pipeline.launcher_machine_type
  additional_experiments = setunion(
    var.pipeline.experiments,
    var.pipeline.at_least_once ? ["streaming_mode_at_least_once"] : [],
  )
  # num_workers is only where the job begins; the floor of autoscaling is an option of its own.
  additional_pipeline_options = (
    var.pipeline.min_workers > 1 ? ["dataflow_service_options=min_num_workers=${var.pipeline.min_workers}"] : []
  )

  # It fails at its start without its rights, and at its first record without the tables.
  depends_on = [
    google_artifact_registry_repository_iam_member.pipeline_reader,
    google_bigquery_table_iam_member.pipeline_editor,
    google_kms_crypto_key_iam_member.agent,
    google_project_iam_member.pipeline_worker,
    google_pubsub_subscription_iam_member.pipeline_subscriber,
    google_pubsub_subscription_iam_member.pipeline_viewer,
    google_storage_bucket_iam_member.pipeline_staging,
  ]
}
