// Package packaging holds the files that the program writes out for others: the modules for Terraform.
package packaging

import "embed"

// Terraform holds terraform/aws, terraform/gcp and the cloud-init template that both use.
//
//go:embed terraform/aws terraform/gcp terraform/cloud-init
var Terraform embed.FS
