// Package release brings releases from a bucket to the folders that instances run from.
//
// A bucket holds archives and, per app, a current.json that names the version wanted (DeployEx's layout):
//
//	versions/{app}/{account_name}/current.json
//	dist/{app}/{app}-{version}.tar.gz
//
// A Watcher tells when a current.json changes. A Store fetches the archive once per host, checks it, unpacks it once
// per version into a shared tree, and makes an instance's folder from the tree with reflinks, hard links and copies:
//
//	{dir}/cache/{app}/{version}-{sha256, 12 digits}.tar.gz   the archive as it was in the bucket
//	{dir}/releases/{app}/{version}-{sha256, 12 digits}/      release.json and the shared tree, never written again
//	{dir}/service/{app}/{instance}/{new,current,previous}    what an instance runs from
//
// All that a Store shows is whole: files are made beside their place and renamed into it when they are complete and on
// disk. What a killed process leaves behind is removed by the next Open.
package release
