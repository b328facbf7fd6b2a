module "shop" {
  source = "../../gcp"

  app          = "shop"
  language     = "elixir"
  hostname     = "shop.example.org"
  bucket       = "shop-releases-example"
  secrets_path = "beamkeeper-shop-prod"

  project = "example-project"
  region  = "europe-west3"
  zone    = "europe-west3-a"

  package_url    = "https://example.org/beamkeeper_amd64.deb"
  package_sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
}

output "address" {
  value = module.shop.address
}
