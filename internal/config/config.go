package config

import "time"

// Config is a whole configuration file, defaulted and checked.
type Config struct {
	// DeployEx's keys.

	AccountName       string         `yaml:"account_name" default:"local" scalar:"any" pattern:"^[A-Za-z0-9_][A-Za-z0-9._-]*$" form:"letters, digits, _, - and . (the name of one folder)" doc:"Name of the environment; the folder of an app's current.json in the bucket: versions/APP/ACCOUNT_NAME/current.json."`
	Hostname          string         `yaml:"hostname" scalar:"any" doc:"Public host name. Requests to web.listen may name it as their host, besides localhost, the machine's own name and IP addresses."`
	Port              int            `yaml:"port" min:"1" max:"65535" later:"the dashboard comes with a later version" doc:"Port of DeployEx's dashboard; web.listen is the setting of Beamkeeper."`
	ReleaseAdapter    ReleaseAdapter `yaml:"release_adapter" default:"local" enum:"local|s3|gcp-storage" doc:"Where releases come from: a folder, S3 (or what speaks its protocol, see release.s3), Google Cloud Storage (docs/cloud.md)."`
	ReleaseBucket     string         `yaml:"release_bucket" computed:"<var_path>/bucket" doc:"The bucket: a folder for local (relative to the configuration file's folder), a bucket name otherwise."`
	SecretsAdapter    SecretsAdapter `yaml:"secrets_adapter" default:"none" enum:"none|env|file|aws|gcp" doc:"Where secrets come from (docs/secrets.md): none (a cookie from files, and the credentials that systemd passes), env (the daemon's environment), file (a JSON file or a folder), aws (Secrets Manager), gcp (Secret Manager)."`
	SecretsPath       string         `yaml:"secrets_path" scalar:"any" doc:"Name of the secret for the adapters aws and gcp, which holds a JSON object; for file the path of a JSON file, or of a folder with a file for each secret."`
	AWSRegion         string         `yaml:"aws_region" pattern:"^[a-z0-9-]+$" form:"a region such as eu-central-1" doc:"AWS region of bucket and secrets. Empty: AWS_REGION, that of the profile, that of the EC2 instance."`
	GoogleCredentials string         `yaml:"google_credentials" path:"file" doc:"Service account file of Google Cloud, or one of workload identity. Empty: Application Default Credentials."`

	Version            string `yaml:"version" scalar:"any" installer:"true" doc:"Version of DeployEx to install."`
	OTPVersion         string `yaml:"otp_version" scalar:"any" installer:"true" doc:"OTP version of the DeployEx package to install. Beamkeeper talks to every OTP it supports, whatever it says here."`
	OSTarget           string `yaml:"os_target" scalar:"any" installer:"true" doc:"Operating system of the DeployEx package to install."`
	OTPTLSCertificates string `yaml:"otp_tls_certificates" path:"dir" installer:"true" later:"the files in it are named one by one in node.tls" doc:"Folder of the certificates DeployEx's installer set up; see node.tls."`
	InstallPath        string `yaml:"install_path" path:"dir" doc:"Where DeployEx is installed: its bin folder is taken out of the PATH of the instances."`

	VarPath             string        `yaml:"var_path" default:"/var/lib/beamkeeper" path:"dir" doc:"What the daemon keeps: instances (service/), unpacked releases (releases/), downloads (cache/), its state (state/) and the generated cookie."`
	LogPath             string        `yaml:"log_path" path:"dir" computed:"none: the daemon's log goes to its standard error" doc:"Folder of the daemon's own log, beamkeeper.log, which is rotated as logs says."`
	MonitoredAppLogPath string        `yaml:"monitored_app_log_path" default:"/var/log/monitored-apps" path:"dir" doc:"Logs of the instances: APP/INSTANCE-stdout.log and APP/INSTANCE-stderr.log."`
	MetricsRetention    time.Duration `yaml:"metrics_retention_time_ms" default:"3600000" min:"0" later:"metrics come with a later version" doc:"How long metrics are kept."`
	LogsRetention       time.Duration `yaml:"logs_retention_time_ms" default:"3600000" min:"0" later:"log files are kept as the section logs says" doc:"How long DeployEx keeps log lines for its dashboard."`

	Monitoring    []HostMonitor  `yaml:"monitoring" later:"the watchdog comes with a later version" doc:"Watchdog of the host and of the daemon."`
	Notifications []Notification `yaml:"notifications" later:"notifications are delivered by a later version" doc:"Where events are sent to."`
	Applications  []App          `yaml:"applications" doc:"The applications to deploy and supervise."`

	// Beamkeeper's own sections.

	History     int         `yaml:"history_retention" default:"200" min:"1" max:"10000" doc:"How many deployments are kept of each app, with every step of them."`
	Live        Live        `yaml:"config" doc:"Changes of this file while the daemon runs."`
	Node        Node        `yaml:"node" doc:"The daemon as a node of the Erlang distribution."`
	Control     Control     `yaml:"control" doc:"The control socket, which the command line talks to."`
	Web         Web         `yaml:"web" doc:"The control API over TCP, for reading only. The dashboard comes with a later version."`
	Secrets     Secrets     `yaml:"secrets" doc:"How the store of secrets_adapter is asked (docs/secrets.md)."`
	Release     Release     `yaml:"release" doc:"How releases are checked, unpacked and kept."`
	Logs        Logs        `yaml:"logs" doc:"How the log files of the instances are rotated and kept (docs/logs.md)."`
	Fleet       Fleet       `yaml:"fleet" later:"fleets come with a later version" doc:"Several hosts that share desired versions."`
	SelfUpgrade SelfUpgrade `yaml:"self_upgrade" doc:"How the program itself is upgraded, see beamkeeper self upgrade."`

	// File is the name of the file, as given to Load or Parse.
	File string
	// FromFile is false when there is no file: see FromVariables.
	FromFile bool

	origin map[string]position // where each key that the file sets was written
}

// ReleaseAdapter says where releases come from.
type ReleaseAdapter string

// The release adapters.
const (
	ReleaseLocal ReleaseAdapter = "local"
	ReleaseS3    ReleaseAdapter = "s3"
	ReleaseGCS   ReleaseAdapter = "gcp-storage"
)

// SecretsAdapter says where secrets come from.
type SecretsAdapter string

// The secrets adapters.
const (
	SecretsNone SecretsAdapter = "none"
	SecretsEnv  SecretsAdapter = "env"
	SecretsFile SecretsAdapter = "file"
	SecretsAWS  SecretsAdapter = "aws"
	SecretsGCP  SecretsAdapter = "gcp"
)

// Node is the daemon as a node of the Erlang distribution.
type Node struct {
	Name            string        `yaml:"name" default:"beamkeeper" pattern:"^[0-9A-Za-z_-]{1,100}$" form:"letters, digits, _ and - (the part before the @)" doc:"Alive name: what stands before the @."`
	Host            string        `yaml:"host" pattern:"^[0-9A-Za-z:][0-9A-Za-z.:-]*$" form:"a host name" computed:"the short host name" doc:"What stands after the @. A name with a dot means long names."`
	CookieFile      string        `yaml:"cookie_file" path:"file" computed:"the cookie of secrets_adapter, else <var_path>/cookie, created with mode 0400" doc:"File with the cookie, mode 0400 or 0600. Wins over the secrets' cookie."`
	Visibility      string        `yaml:"visibility" default:"hidden" enum:"hidden|visible" doc:"hidden: the node takes no part in global, in pg and in full meshes, and is in nodes(hidden). visible is refused: without global it would disturb the cluster (docs/protocol.md)."`
	Listen          string        `yaml:"listen" default:"127.0.0.1:0" doc:"Address the distribution listens on, HOST:PORT; port 0 takes a free one. none: only the daemon makes connections."`
	Allow           []string      `yaml:"allow" default:"[observer@*]" doc:"Patterns (with * and ?) of node names besides the instances that may connect."`
	Grant           []NodeGrant   `yaml:"grant" doc:"Rights in the Erlang API (docs/erlang-api.md) beyond those that instances have over their own app. A node that is no instance must also be one that allow lets in."`
	RemoteStop      string        `yaml:"remote_stop" default:"refuse" enum:"refuse|stop" doc:"What nodes with the right admin (grant) can end. refuse: nothing. stop: the daemon, by init:stop and erlang:halt, while its instances run on; and its actors, by kill and other exit signals, which are started again. Nodes without that right are refused always, and each refusal is logged."`
	EPMD            string        `yaml:"epmd" computed:"127.0.0.1 and the port in ERL_EPMD_PORT, else 4369" doc:"Address of the port mapper, HOST:PORT."`
	StartEPMD       bool          `yaml:"start_epmd" doc:"Start a port mapper when none listens at epmd: this program's own (beamkeeper epmd), a process of its own that goes on when the daemon ends. It listens on this host only, so nodes on other hosts cannot look up those here."`
	NetTickTime     time.Duration `yaml:"net_ticktime_ms" default:"60000" min:"1000" max:"3600000" doc:"A peer that is silent for so long is down. kernel's net_ticktime, in milliseconds."`
	ConnectTimeout  time.Duration `yaml:"connect_timeout_ms" default:"7000" min:"100" max:"600000" doc:"How long connecting and the handshake may take. kernel's net_setuptime, in milliseconds."`
	SendBufferBytes Size          `yaml:"send_buffer_bytes" default:"1MiB" min:"65536" max:"1073741824" doc:"How much may wait to be sent on one link before senders have to wait."`
	MaxSendBuffer   Size          `yaml:"max_send_buffer_bytes" default:"64MiB" min:"65536" max:"4294967296" doc:"How much may wait to be sent on one link in all, answers that cannot wait included: a peer that reads nothing and lets it come to more is cut off. At least send_buffer_bytes."`
	MaxMessageBytes Size          `yaml:"max_message_bytes" default:"256MiB" min:"1048576" max:"2147483648" doc:"Largest message that is received; a peer that sends a larger one is cut off."`
	MaxLinks        int           `yaml:"max_links" default:"4096" min:"16" max:"1000000" doc:"Links at one time. More peers are refused."`
	MaxCalls        int           `yaml:"max_calls" default:"4096" min:"16" max:"1000000" doc:"Calls of one peer that run here at one time, of all peers four times as many. Those beyond get the error system_limit."`
	TLS             NodeTLS       `yaml:"tls" doc:"Encryption of the distribution."`
}

// NodeGrant gives rights in the Erlang API to nodes.
type NodeGrant struct {
	Nodes  string `yaml:"nodes" required:"true" doc:"Pattern (with * and ?) of node names."`
	Rights string `yaml:"rights" required:"true" enum:"read|deploy|admin" doc:"read: status, instances, history and events of every app. deploy: that, and deploying. admin: that, and restarting."`
}

// NodeTLS is the encryption of the distribution.
type NodeTLS struct {
	Mode         string `yaml:"mode" default:"off" enum:"off|own_ca|files" doc:"off: plain TCP. own_ca: mutual TLS with certificates that the daemon makes for itself and each instance, in <var_path>/tls; nothing else is needed. files: mutual TLS with the files named here."`
	CAFile       string `yaml:"ca_file" path:"file" doc:"Certificates of the authorities to trust, PEM."`
	CertFile     string `yaml:"cert_file" path:"file" doc:"Certificate of the daemon and of the instances, PEM, with the host of node.host among its DNS names. Changes on disk are picked up."`
	KeyFile      string `yaml:"key_file" path:"file" doc:"Its private key, PEM, mode 0400 or 0600. The users that apps run as must be able to read it."`
	PasswordFile string `yaml:"password_file" path:"file" doc:"File with the password of an encrypted key_file (PKCS#8, PBES2), mode 0400 or 0600."`
	OptFile      string `yaml:"optfile" path:"file" doc:"An existing ssl_dist_optfile, such as DeployEx's inet_tls.conf, instead of the other files. Instances are started with it."`
}

// Live is about changes of the file while the daemon runs.
type Live struct {
	AutoApply string `yaml:"auto_apply" default:"off" enum:"off|immediate" doc:"off: a changed file is checked and compared, and waits for beamkeeper config apply (or a reload, SIGHUP). immediate: it is applied as soon as it is whole. The removal of an app waits for its confirmation either way."`
}

// Control is the control socket.
type Control struct {
	Socket string         `yaml:"socket" default:"/run/beamkeeper/beamkeeper.sock" path:"file" doc:"Unix socket of the control API."`
	Mode   string         `yaml:"mode" scalar:"any" computed:"0660, or 0666 with grant" pattern:"^0?[0-7]{3}$" form:"three octal digits, such as 0660" doc:"Mode of the socket: who may connect."`
	Group  string         `yaml:"group" pattern:"^[A-Za-z0-9_.][A-Za-z0-9_.-]*[$]?$" form:"the name or number of an OS group" computed:"the daemon's group" doc:"OS group of the socket."`
	Grant  []ControlGrant `yaml:"grant" doc:"Rights of users and groups over the control socket. With none, whoever may connect may do everything. With any, everybody but root and the daemon's own user may do only what is granted here."`
}

// ControlGrant gives rights over the control socket to a user or a group of the operating system.
type ControlGrant struct {
	User   string `yaml:"user" pattern:"^[A-Za-z0-9_.][A-Za-z0-9_.-]*[$]?$" form:"the name or number of an OS user" doc:"OS user, by name or number."`
	Group  string `yaml:"group" pattern:"^[A-Za-z0-9_.][A-Za-z0-9_.-]*[$]?$" form:"the name or number of an OS group" doc:"OS group, by name or number; its members have the right."`
	Rights string `yaml:"rights" required:"true" enum:"read|deploy|admin" doc:"read: status, history, deployments, events, the differences of the configuration. deploy: that, logs, and deploying, starting, stopping, restarting, scaling. admin: that, rpc, applying the configuration and purging."`
}

// Web is the control API over TCP.
type Web struct {
	Listen        string `yaml:"listen" computed:"off" doc:"Address, HOST:PORT, where status, events and logs can be read over plain HTTP. There is no login yet: keep it on 127.0.0.1. Empty: off."`
	PollTokenFile string `yaml:"poll_token_file" path:"file" computed:"none: polling is not asked for over TCP" doc:"File with a token, at least 32 characters, mode 0400 or 0600. Whoever sends it (Authorization: Bearer) may ask with POST /v1/apps/APP/poll for a look at the bucket at once; nothing else is allowed over TCP."`
	TLS           WebTLS `yaml:"tls" later:"HTTPS comes with a later version" doc:"HTTPS for web.listen. Refused by this version while web.listen is set."`
}

// WebTLS is the certificate of Web.
type WebTLS struct {
	CertFile string `yaml:"cert_file" path:"file" doc:"Certificate chain, PEM."`
	KeyFile  string `yaml:"key_file" path:"file" doc:"Private key, PEM."`
}

// Secrets says how the store of secrets is asked.
type Secrets struct {
	Poll     time.Duration `yaml:"poll_ms" default:"300000" min:"1000" max:"86400000" doc:"How often the store is asked whether secrets of apps have changed."`
	Endpoint string        `yaml:"endpoint" doc:"URL of another server than the cloud's own."`
}

// Release says how releases are checked, unpacked and kept.
type Release struct {
	Verify           string   `yaml:"verify" default:"if_present" enum:"if_present|required|off" doc:"What of a signature in current.json (docs/publish.md). required: a release that none of public_keys has signed is refused. if_present: a signature must be right when there is one, and there are public_keys. off: signatures are not looked at. A sha256 must match always when there is one. What is refused stops nothing."`
	PublicKeys       []string `yaml:"public_keys" doc:"Keys of minisign that releases are signed with, each as text (RW…) or as the path of a file. Any of them will do, so that keys can be changed one after the other."`
	RefuseDowngrade  bool     `yaml:"refuse_downgrade" default:"true" doc:"Once a signed current.json of an app was acted on, one that was signed earlier, or not at all, is refused: somebody has put it back. beamkeeper rollback goes back all the same."`
	KeepReleases     int      `yaml:"keep_releases" default:"3" min:"0" max:"1000" doc:"How many old releases of an app stay on disk, besides those in use."`
	MaxUnpackedBytes Size     `yaml:"max_unpacked_bytes" default:"4GiB" min:"1048576" doc:"A release that unpacks to more is refused."`
	MaxEntries       int      `yaml:"max_entries" default:"200000" min:"1" max:"10000000" doc:"A release with more files and folders is refused."`
	MaxDownloadRate  Size     `yaml:"max_download_rate" min:"0" doc:"Bytes a second, of all downloads together; each gets its share. 0: as fast as it goes."`

	S3  S3Bucket  `yaml:"s3" doc:"The bucket of release_adapter s3, beyond release_bucket and aws_region."`
	GCS GCSBucket `yaml:"gcs" doc:"The bucket of release_adapter gcp-storage, beyond release_bucket and google_credentials."`
}

// S3Bucket is a bucket in S3.
type S3Bucket struct {
	Endpoint  string `yaml:"endpoint" computed:"that of AWS" doc:"URL of another server that speaks S3: MinIO, R2, Tigris, Garage."`
	PathStyle bool   `yaml:"path_style" doc:"The bucket's name in the path of a URL, not in the host name. MinIO and Garage want it so."`
	Profile   string `yaml:"profile" computed:"AWS_PROFILE, else default" doc:"Profile of ~/.aws/config and ~/.aws/credentials of the daemon's user."`
	RoleARN   string `yaml:"role_arn" pattern:"^arn:[^: ]+:iam::[0-9]*:role/[^ ]+$" form:"an ARN such as arn:aws:iam::123456789012:role/releases" doc:"Role to assume with the credentials found, for a bucket of another account."`
}

// GCSBucket is a bucket in Google Cloud Storage.
type GCSBucket struct {
	Endpoint string `yaml:"endpoint" computed:"that of Google" doc:"URL of another server, such as an emulator or a private endpoint. One that begins with http:// gets no credentials."`
}

// Fleet is what several hosts share.
type Fleet struct {
	ETCDEndpoints []string `yaml:"etcd_endpoints" doc:"URLs of etcd. Empty: this host is on its own."`
}

// SelfUpgrade is how the program itself is upgraded.
type SelfUpgrade struct {
	PublicKeys []string `yaml:"public_keys" doc:"minisign keys (RW…) that a new program must be signed with one of."`
}

// HostMonitor is one watchdog of the host or of the daemon.
type HostMonitor struct {
	Type    string  `yaml:"type" required:"true" enum:"memory|atom|process|port" doc:"What is watched: memory of the host, or a table of DeployEx's own VM."`
	Restart bool    `yaml:"enable_restart" default:"true" doc:"Whether passing the restart threshold restarts something."`
	Warning Percent `yaml:"warning_threshold_percent" default:"75" min:"1" max:"100" doc:"Use in percent of the limit that gives a warning."`
	Limit   Percent `yaml:"restart_threshold_percent" default:"90" min:"1" max:"100" doc:"Use in percent of the limit that gives a restart."`
}

// Notification is one place that events are sent to.
type Notification struct {
	Adapter string              `yaml:"adapter" required:"true" enum:"webhook|slack|pagerduty" doc:"How the event is sent."`
	URL     string              `yaml:"url" secret:"url" computed:"for pagerduty https://events.pagerduty.com/v2/enqueue" doc:"Where it is sent to."`
	Enabled bool                `yaml:"enabled" default:"true" doc:"Whether it is used."`
	Events  []string            `yaml:"events" enum:"crash_restart|deployment_started|deployment_complete|application_ready|watchdog_threshold_exceeded|watchdog_threshold_warning|certificate_renewed|certificate_valid|certificate_failed|deployment_shutdown|config_changed|config_change_applied|all" doc:"Events that are sent; all stands for every one."`
	Options NotificationOptions `yaml:"options" doc:"Settings of the adapter."`
}

// NotificationOptions are the settings of a notification's adapter.
type NotificationOptions struct {
	RoutingKey string `yaml:"routing_key" scalar:"any" secret:"true" doc:"Integration key of PagerDuty."`
	Username   string `yaml:"username" default:"DeployEx" doc:"Name shown in Slack."`
	IconEmoji  string `yaml:"icon_emoji" default:":robot_face:" doc:"Emoji shown in Slack."`
}
