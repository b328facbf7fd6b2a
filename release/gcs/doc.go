//go:build !nogcs

// Package gcs is a bucket of releases in Google Cloud Storage.
//
// Credentials come from a file, or by Application Default Credentials: GOOGLE_APPLICATION_CREDENTIALS, gcloud's own,
// workload identity, the metadata of the machine. Nothing is asked of the network before the first request.
//
// The build tag nogcs leaves the package out: the client library and its gRPC are a third of the program.
//
// API: https://cloud.google.com/storage/docs/json_api
package gcs
