// Package s3 is a bucket of releases in Amazon S3, or in anything that speaks its protocol (MinIO, R2, Tigris, Garage).
//
// Credentials come by the SDK's default chain: environment, shared files with profiles and SSO, web identity (IRSA),
// containers, the metadata of an EC2 instance (IMDSv2). Nothing is asked of the network before the first request.
//
// API: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
package s3
