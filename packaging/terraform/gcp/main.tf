# One host that runs an app under beamkeeper, its bucket of releases, and the least rights for both.

terraform {
  required_version = ">= 1.5"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 5.0"
    }
  }
}

locals {
  # A network that may reach the port for identity-aware proxying, for SSH without a public port.
  iap = "35.235.240.0/20"
}

resource "google_storage_bucket" "releases" {
  project                     = var.project
  name                        = var.bucket
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  labels                      = var.labels

  versioning {
    enabled = true
  }
}

resource "google_service_account" "host" {
  project      = var.project
  account_id   = var.name
  display_name = "beamkeeper host"
}

resource "google_storage_bucket_iam_member" "read" {
  bucket = google_storage_bucket.releases.name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${google_service_account.host.email}"
}

resource "google_secret_manager_secret_iam_member" "cookie" {
  project   = var.project
  secret_id = var.secrets_path
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${google_service_account.host.email}"
}

resource "google_compute_firewall" "web" {
  project       = var.project
  name          = "${var.name}-web"
  network       = var.network
  source_ranges = ["0.0.0.0/0"]
  target_tags   = [var.name]

  allow {
    protocol = "tcp"
    ports    = ["80", "443"]
  }
}

resource "google_compute_firewall" "ssh" {
  project       = var.project
  name          = "${var.name}-ssh"
  network       = var.network
  source_ranges = concat([local.iap], var.ssh_cidrs)
  target_tags   = [var.name]

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}

resource "google_compute_address" "host" {
  project = var.project
  name    = var.name
  region  = var.region
}

resource "google_compute_instance" "host" {
  project      = var.project
  name         = var.name
  zone         = var.zone
  machine_type = var.machine_type
  tags         = [var.name]
  labels       = var.labels

  boot_disk {
    initialize_params {
      image = "debian-cloud/debian-13"
      size  = var.disk_gib
    }
  }

  network_interface {
    network = var.network

    access_config {
      nat_ip = google_compute_address.host.address
    }
  }

  service_account {
    email  = google_service_account.host.email
    scopes = ["cloud-platform"]
  }

  metadata = {
    user-data = templatefile("${path.module}/../cloud-init/user-data.yaml.tftpl", {
      app            = var.app
      language       = var.language
      account_name   = var.account_name
      replicas       = var.replicas
      port           = var.port
      hostname       = var.hostname
      package_url    = var.package_url
      package_sha256 = var.package_sha256

      source = {
        release_adapter = "gcp-storage"
        release_bucket  = google_storage_bucket.releases.name
        secrets_adapter = "gcp"
        secrets_path    = var.secrets_path
      }
    })
  }
}

output "address" {
  description = "Public address of the host."
  value       = google_compute_address.host.address
}

output "bucket" {
  description = "Where CI publishes to."
  value       = google_storage_bucket.releases.name
}
