# What an endpoint may do: publish to its topic, ask whether the topic is there (for /readyz), list the
# versions of its secret and read them; and publish the system's own records, such as audit events. Each on
# that one topic and that one secret.

resource "google_pubsub_topic_iam_member" "endpoint_publisher" {
  for_each = local.resources

  project = var.project_id
  topic   = google_pubsub_topic.stream[each.key].name
  role    = "roles/pubsub.publisher"
  member  = local.endpoint_members[each.key]
}

resource "google_pubsub_topic_iam_member" "endpoint_viewer" {
  for_each = local.resources

  project = var.project_id
  topic   = google_pubsub_topic.stream[each.key].name
  role    = "roles/pubsub.viewer"
  member  = local.endpoint_members[each.key]
}

resource "google_pubsub_topic_iam_member" "endpoint_system" {
  for_each = {
    for triple in setproduct(keys(local.resources), keys(local.system), ["publisher", "viewer"]) :
    join(" ", triple) => { name = triple[0], topic = triple[1], role = "roles/pubsub.${triple[2]}" }
  }

  project = var.project_id
  topic   = google_pubsub_topic.stream[each.value.topic].name
  role    = each.value.role
  member  = local.endpoint_members[each.value.name]
}

resource "google_secret_manager_secret_iam_member" "endpoint_accessor" {
  for_each = local.resources

  project   = var.project_id
  secret_id = google_secret_manager_secret.api_key[each.key].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = local.endpoint_members[each.key]
}

resource "google_secret_manager_secret_iam_member" "endpoint_viewer" {
  for_each = local.resources

  project   = var.project_id
  secret_id = google_secret_manager_secret.api_key[each.key].secret_id
  role      = "roles/secretmanager.viewer"
  member    = local.endpoint_members[each.key]
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = {
    for pair in setproduct(keys(google_cloud_run_v2_service.endpoint), var.access.invokers) :
    "${pair[0]} ${pair[1]}" => { name = pair[0], member = pair[1] }
  }

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.endpoint[each.value.name].name
  role     = "roles/run.invoker"
  member   = each.value.member
}
