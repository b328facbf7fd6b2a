variable "name" {
  description = "Name of the host and prefix of everything made here."
  type        = string
  default     = "beamkeeper"
}

variable "app" {
  description = "Name of the app, equal to the name of its release."
  type        = string
}

variable "language" {
  description = "Language of the release: elixir, erlang or gleam. A gleam release brings no Erlang/OTP, so the host gets one."
  type        = string
  default     = "elixir"

  validation {
    condition     = contains(["elixir", "erlang", "gleam"], var.language)
    error_message = "The language is elixir, erlang or gleam."
  }
}

variable "account_name" {
  description = "Name of the environment: versions/APP/ACCOUNT_NAME/current.json in the bucket."
  type        = string
  default     = "prod"
}

variable "replicas" {
  description = "How many instances run."
  type        = number
  default     = 2
}

variable "port" {
  description = "First port of the instances; replicas + 1 are used."
  type        = number
  default     = 4000
}

variable "hostname" {
  description = "Host name under which nginx serves the app."
  type        = string
}

variable "disk_gib" {
  description = "Size of the disk, in GiB."
  type        = number
  default     = 30
}

variable "ssh_cidrs" {
  description = "Networks that may reach port 22. Empty: none, use IAP."
  type        = list(string)
  default     = []
}

variable "bucket" {
  description = "Name of the bucket of releases. It is made."
  type        = string
}

variable "secrets_path" {
  description = "Name of the secret in Secret Manager that holds the cookie. It must exist."
  type        = string
}

variable "package_url" {
  description = "URL of the beamkeeper .deb for the host's architecture."
  type        = string
}

variable "package_sha256" {
  description = "Its SHA-256, checked before it is installed."
  type        = string
}

variable "project" {
  description = "Google Cloud project."
  type        = string
}

variable "region" {
  description = "Region of the address and the bucket."
  type        = string
}

variable "zone" {
  description = "Zone of the host."
  type        = string
}

variable "network" {
  description = "VPC network of the host."
  type        = string
  default     = "default"
}

variable "machine_type" {
  description = "Type of the virtual machine."
  type        = string
  default     = "e2-small"
}

variable "labels" {
  description = "Labels of everything made here."
  type        = map(string)
  default     = {}
}
