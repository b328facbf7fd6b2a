package config

import "time"

// App is one entry of applications: a managed unit with a release and replicas.
type App struct {
	// DeployEx's keys.

	Name                   string        `yaml:"name" required:"true" pattern:"^[A-Za-z][A-Za-z0-9_-]{0,99}$" form:"letters, digits, _ and -, beginning with a letter, at most 100 of them" doc:"Name of the app, equal to the name of its release (bin/NAME) and the first part of its instances' names. Letters, digits, _ and -, beginning with a letter; at most 100 characters; for gleam a package name, without -."`
	Language               Language      `yaml:"language" default:"elixir" enum:"elixir|erlang|gleam" doc:"Which start contract its release has."`
	Replicas               int           `yaml:"replicas" default:"3" min:"0" max:"1000" doc:"How many instances run."`
	DeployRollbackTimeout  time.Duration `yaml:"deploy_rollback_timeout_ms" default:"600000" min:"1000" doc:"A crash loop so soon after a deployment leads back to the version before; readiness.timeout_ms ends a deployment that does not get ready."`
	DeployScheduleInterval time.Duration `yaml:"deploy_schedule_interval_ms" default:"5000" min:"100" max:"86400000" doc:"How often the bucket is polled, besides being watched."`
	ReplicaPorts           []ReplicaPort `yaml:"replica_ports" doc:"Variables that give each instance its own port. An app takes replicas + 1 ports from each base; the spare one is for the new instance of a rolling deployment."`
	Env                    []EnvVar      `yaml:"env" doc:"Environment variables of the instances. A value may be a template, see Templates in docs/apps.md."`
	Monitoring             []AppMonitor  `yaml:"monitoring" later:"the watchdog comes with a later version" doc:"Watchdog of the app's instances."`
	Certificates           []Certificate `yaml:"certificates" later:"certificates come with a later version" doc:"Certificates by ACME."`

	// Beamkeeper's own.

	User        string    `yaml:"user" pattern:"^[A-Za-z0-9_.][A-Za-z0-9_.-]*[$]?$" form:"the name or number of an OS user" computed:"the daemon's user" doc:"OS user the instances run as. The daemon needs root to start instances as somebody else."`
	Group       string    `yaml:"group" pattern:"^[A-Za-z0-9_.][A-Za-z0-9_.-]*[$]?$" form:"the name or number of an OS group" computed:"the user's" doc:"Primary OS group of the instances."`
	Umask       string    `yaml:"umask" scalar:"any" pattern:"^0?[0-7]{3}$" form:"three octal digits, such as 0027" computed:"the daemon's" doc:"What is taken from the mode of files that the instances make, octal."`
	ReleaseTree string    `yaml:"release_tree" enum:"writable|read_only" computed:"read_only with a user other than the daemon's, else writable" doc:"read_only: the unpacked release belongs to the daemon, its group may read it, and what a start script writes goes to the instance's private folder (RELEASE_TMP, RELX_OUT_FILE_PATH)."`
	Dirs        []AppDir  `yaml:"dirs" doc:"Folders of the app, made before each start, owned by its user and group. Each instance has their paths in its environment, under systemd's names (STATE_DIRECTORY) and mix_systemd's (STATE_DIR)."`
	EnvFiles    []string  `yaml:"env_files" doc:"Files with KEY=value lines (systemd's EnvironmentFile), read at each start. A later one wins, and env wins over all of them. -PATH: it may be missing."`
	Files       []AppFile `yaml:"files" doc:"Files that the app gets before each start."`
	VMArgs      string    `yaml:"vm_args" doc:"Flags of erl as in a vm.args file, a template; they win over those of the release (ERL_ZFLAGS)."`
	Sandbox     Sandbox   `yaml:"sandbox" doc:"What the instances must not do or see; the options are those of systemd.exec(5). What the kernel does not give is a problem in the status."`

	FlagsDir   string     `yaml:"flags_dir" path:"dir" computed:"<var_path>/flags/NAME" doc:"Folder that is watched for a file restart.flag: who may write there can have the app restarted (one instance after the other) by touching it. Made with mode 0770, of control.group if that is set."`
	CookieFile string     `yaml:"cookie_file" path:"file" computed:"the node's cookie" doc:"File with the cookie of this app, mode 0400 or 0600."`
	Readiness  Readiness  `yaml:"readiness" doc:"When an instance counts as ready: its process runs, its node is up, its OTP application is started, and the probe, if there is one, passes."`
	Strategy   Strategy   `yaml:"strategy" doc:"How a new version replaces the old one."`
	Stop       Stop       `yaml:"stop" doc:"How an instance is stopped."`
	CrashLoop  CrashLoop  `yaml:"crash_loop" doc:"When an instance that keeps crashing is given up."`
	HotUpgrade HotUpgrade `yaml:"hot_upgrade" doc:"Upgrades without a restart, see docs/upgrades.md."`
	Hooks      Hooks      `yaml:"hooks" doc:"What is run around a deployment, see docs/deployments.md. Scripts in hooks.d beside this file are run too."`
	Limits     Limits     `yaml:"limits" doc:"Limits of each instance, all of its processes together. They need systemd, or a cgroup v2 that the daemon may divide, with the controllers memory, cpu and pids; the status shows limits that have no effect. Changed ones hold for what runs, at once; what a template made of them counts from the next start. 0: none."`
	Logs       AppLogs    `yaml:"logs" doc:"What is other than in the section logs for this app."`
	CrashDump  CrashDump  `yaml:"crash_dump" doc:"Crash dumps of the instances. They are collected in monitored_app_log_path/APP/dumps. An ERL_CRASH_DUMP of env wins, and is left where it is."`
	Cluster    string     `yaml:"cluster" default:"none" enum:"none|mesh" doc:"mesh: ready instances are connected to each other, again after a restart or a partition, and the status shows which siblings each sees. none: the daemon connects no instance to another."`

	ClusterWith []string `yaml:"cluster_with" doc:"With cluster: mesh: other apps whose ready instances these are connected to as well. They must have the same cookie."`

	AllowDeploys []string `yaml:"allow_deploys" scalar:"single" computed:"always" doc:"Hours in which the app may be moved to another version, such as Mon-Fri 09:00-17:00 Europe/Berlin, or several in a list (docs/deployments.md). Outside of them a new current.json waits, and deploy and pin are refused without --force. Going back and restarts are never held."`
	History      int      `yaml:"history_retention" default:"0" min:"0" max:"10000" doc:"How many deployments of the app are kept. 0: as many as history_retention at the top says."`

	Secrets         []AppSecret `yaml:"secrets" doc:"Secrets that the instances and pre_commands get (docs/secrets.md)."`
	SecretsRotation string      `yaml:"secrets_rotation" default:"next_start" enum:"next_start|restart" doc:"What follows when one of secrets has another value: instances get it at their next start, or are restarted, one after the other."`

	PreCommandsTimeout time.Duration `yaml:"pre_commands_timeout_ms" default:"600000" min:"1" max:"86400000" doc:"How long each of the pre_commands of a current.json may take."`
	PreCommandsFailure string        `yaml:"pre_commands_on_failure" default:"fail" enum:"fail|ghost" doc:"What a failed one does besides ending its deployment: ghost makes the version a ghost."`
}

// AppDir is a folder of an app.
type AppDir struct {
	Kind string `yaml:"kind" required:"true" enum:"configuration|state|cache|logs|runtime|tmp" doc:"What it is for."`
	Path string `yaml:"path" path:"dir" computed:"/etc/APP, /var/lib/APP, /var/cache/APP, /var/log/APP, /run/APP, /var/tmp/APP" doc:"Where it is."`
	Mode string `yaml:"mode" scalar:"any" default:"0750" pattern:"^0?[0-7]{3}$" form:"three octal digits, such as 0750" doc:"Its mode, octal."`
}

// AppSecret is a secret that an app's instances get.
type AppSecret struct {
	Key  string `yaml:"key" required:"true" doc:"Under which the store has it (secrets_adapter)."`
	Env  string `yaml:"env" pattern:"^[A-Za-z_][A-Za-z0-9_]*$" form:"the name of a variable: letters, digits and _, not beginning with a digit" doc:"Variable that it becomes."`
	File string `yaml:"file" pattern:"^[A-Za-z0-9_][A-Za-z0-9_.-]*$" form:"the name of a file: letters, digits, _, - and ." doc:"File that it becomes, mode 0400, in the folder $SECRETS_DIRECTORY of the instance."`
}

// AppFile is a file that an app gets before each start.
type AppFile struct {
	Path     string `yaml:"path" required:"true" doc:"Where it is written, a template; relative to the instance's private folder."`
	Source   string `yaml:"source" path:"file" doc:"File that is copied."`
	Content  string `yaml:"content" secret:"true" doc:"What is in it, a template; instead of source."`
	Template bool   `yaml:"template" doc:"Whether source is a template too."`
	User     string `yaml:"user" pattern:"^[A-Za-z0-9_.][A-Za-z0-9_.-]*[$]?$" form:"the name or number of an OS user" computed:"the app's" doc:"Its owner."`
	Group    string `yaml:"group" pattern:"^[A-Za-z0-9_.][A-Za-z0-9_.-]*[$]?$" form:"the name or number of an OS group" computed:"the user's" doc:"Its group."`
	Mode     string `yaml:"mode" scalar:"any" default:"0640" pattern:"^0?[0-7]{3}$" form:"three octal digits, such as 0640" doc:"Its mode, octal."`
}

// Sandbox is what an instance must not do or see.
type Sandbox struct {
	Preset          string   `yaml:"preset" default:"none" enum:"none|paranoia" doc:"paranoia: no_new_privileges, private_tmp, private_devices, protect_kernel, protect_system: full, protect_home: hidden, as mix_systemd's option of that name."`
	Strict          bool     `yaml:"strict" doc:"An instance does not start when something of it cannot be had."`
	NoNewPrivileges bool     `yaml:"no_new_privileges" doc:"No program that it starts gets more rights (setuid)."`
	PrivateTmp      bool     `yaml:"private_tmp" doc:"A /tmp and a /var/tmp of its own, gone with the instance."`
	PrivateDevices  bool     `yaml:"private_devices" doc:"A /dev with null, zero, random, terminals and shared memory only."`
	ProtectSystem   string   `yaml:"protect_system" default:"off" enum:"off|on|full|strict" doc:"Read-only: /usr and /boot (on), /etc too (full), everything but the app's own folders (strict)."`
	ProtectHome     string   `yaml:"protect_home" default:"off" enum:"off|hidden|read_only" doc:"Whether /home, /root and /run/user can be seen or written."`
	ProtectKernel   bool     `yaml:"protect_kernel" doc:"Kernel settings and cgroups read-only; no modules, no clock, no kernel log."`
	ReadWrite       []string `yaml:"read_write_paths" doc:"Paths that stay writable all the same."`
	ReadOnly        []string `yaml:"read_only_paths" doc:"Paths that become read-only."`
	Inaccessible    []string `yaml:"inaccessible_paths" doc:"Paths that become empty."`
}

// Language is the start contract of an app's release.
type Language string

// The languages.
const (
	Elixir Language = "elixir"
	Erlang Language = "erlang"
	Gleam  Language = "gleam"
)

// ReplicaPort is a variable with a port of its own for each instance: Base plus the instance's slot.
type ReplicaPort struct {
	Key  string `yaml:"key" required:"true" pattern:"^[A-Za-z_][A-Za-z0-9_]*$" form:"the name of a variable: letters, digits and _, not beginning with a digit" doc:"Name of the variable."`
	Base int    `yaml:"base" required:"true" min:"1" max:"65535" doc:"Port of slot 0. Slot n has base + n."`
}

// EnvVar is one environment variable.
type EnvVar struct {
	Key   string `yaml:"key" required:"true" pattern:"^[A-Za-z_][A-Za-z0-9_]*$" form:"the name of a variable: letters, digits and _, not beginning with a digit" doc:"Name of the variable."`
	Value string `yaml:"value" scalar:"any" secret:"env" doc:"Its value: any scalar, taken as text. Spaces and $ stay as they are."`
}

// AppMonitor is one watchdog of an app's instances.
type AppMonitor struct {
	Type    string  `yaml:"type" required:"true" enum:"atom|process|port" doc:"Which table of the VM is watched."`
	Restart bool    `yaml:"enable_restart" default:"true" doc:"Whether passing the restart threshold restarts the instance."`
	Warning Percent `yaml:"warning_threshold_percent" default:"75" min:"1" max:"100" doc:"Use in percent of the limit that gives a warning."`
	Limit   Percent `yaml:"restart_threshold_percent" default:"90" min:"1" max:"100" doc:"Use in percent of the limit that gives a restart."`
}

// Readiness says when an instance is ready.
type Readiness struct {
	Timeout     time.Duration `yaml:"timeout_ms" default:"60000" min:"1" max:"86400000" doc:"An instance that is not ready after so long has failed; so has its deployment."`
	Application string        `yaml:"application" computed:"the app's name" doc:"OTP application that must be started. To be set where the release has another name than any application in it, as those of umbrella projects do."`
	Successes   int           `yaml:"successes" default:"1" min:"1" max:"1000" doc:"How often in a row the probe must pass."`
	Probe       *Probe        `yaml:"probe" doc:"One probe: http, tcp, rpc, exec or api. ${NAME} stands for a variable of the instance, such as one of replica_ports or env."`
}

// Probe asks an instance whether it is ready. Exactly one of HTTP, TCP, RPC, Exec and API is set.
type Probe struct {
	HTTP     string        `yaml:"http" doc:"URL; passes on a status of 200 to 399."`
	TCP      string        `yaml:"tcp" doc:"HOST:PORT; passes when it accepts a connection."`
	RPC      string        `yaml:"rpc" doc:"Call in the instance, m:f(Args) or m:f/0; passes when it gives true, ok or {ok, _}."`
	Exec     Command       `yaml:"exec" doc:"Program and arguments; passes when it exits with 0."`
	API      bool          `yaml:"api" doc:"true: passes when the instance has called beamkeeper:ready/0 of the Erlang API (docs/erlang-api.md)."`
	Interval time.Duration `yaml:"interval_ms" default:"250" min:"10" max:"3600000" doc:"Time between two tries."`
	Timeout  time.Duration `yaml:"timeout_ms" default:"2000" min:"10" max:"3600000" doc:"Time one try may take."`
}

// Strategy says how a new version replaces the old one.
type Strategy struct {
	MaxUnavailable int           `yaml:"max_unavailable" default:"0" min:"0" max:"1000" doc:"How many replicas may be missing during a deployment. 0: the old instance stops only when its successor is ready."`
	MaxParallel    int           `yaml:"max_parallel" default:"1" min:"1" max:"1000" doc:"How many replicas are replaced at the same time. With replica_ports there is one spare slot, so that more than one needs max_unavailable."`
	Soak           time.Duration `yaml:"soak_ms" default:"0" min:"0" max:"86400000" doc:"How long all replicas of a new version must stay ready before its deployment counts as done. One that crashes, or whose probe fails three times in a row meanwhile, ends it: the version is a ghost, and the replicas go back. Hot upgrades have hot_upgrade.soak_ms."`
}

// Stop says how an instance is stopped.
type Stop struct {
	Timeout time.Duration `yaml:"timeout_ms" default:"15000" min:"0" max:"86400000" doc:"How long init:stop may take before SIGTERM; then SIGKILL of the whole session."`
}

// CrashLoop says when an instance that keeps crashing is given up.
type CrashLoop struct {
	Limit  int           `yaml:"limit" default:"10" min:"1" max:"100000" doc:"More crashes than this within the window, and the instance is failed until told otherwise."`
	Window time.Duration `yaml:"window_ms" default:"600000" min:"1000" max:"86400000" doc:"The window."`
}

// HotUpgrade is about upgrades without a restart.
type HotUpgrade struct {
	Enabled  bool          `yaml:"enabled" default:"true" doc:"Whether a version that can be installed hot is."`
	Soak     time.Duration `yaml:"soak_ms" default:"60000" min:"0" max:"86400000" doc:"How long the new version is watched before it is made permanent."`
	Commit   string        `yaml:"commit" default:"auto" enum:"auto|manual" doc:"Who makes it permanent after the soak: the daemon, or beamkeeper deployment commit."`
	Strategy string        `yaml:"strategy" default:"canary" enum:"canary|all" doc:"canary: the first replica gets the new version and soaks, then the others get it, one after the other, and soak together. all: every replica gets it, one after the other, then all soak together."`
	Fallback string        `yaml:"fallback" default:"full" enum:"full|none" doc:"What becomes of a version that turns out not to be installable hot: full deploys it fully, none ends the deployment. A version that fails its soak is a ghost in both cases."`
	Install  time.Duration `yaml:"install_timeout_ms" default:"600000" min:"1000" max:"86400000" doc:"How long the installation in one instance may take."`
	Kill     bool          `yaml:"kill_lingering" doc:"Whether processes that still run the old code are ended when the new version is made permanent by itself. Otherwise they are waited for."`
}

// Hooks are what is run around a deployment.
type Hooks struct {
	BeforeDeploy  []Hook `yaml:"before_deploy" doc:"Before anything is started or stopped."`
	AfterDeploy   []Hook `yaml:"after_deploy" doc:"When the new instances serve and the old ones are gone."`
	BeforeStop    []Hook `yaml:"before_stop" doc:"Before an instance is stopped."`
	AfterStop     []Hook `yaml:"after_stop" doc:"After an instance has stopped."`
	BeforeUpgrade []Hook `yaml:"before_upgrade" doc:"Before a hot upgrade touches anything, after pre_commands."`
	AfterUpgrade  []Hook `yaml:"after_upgrade" doc:"When a hot upgrade is permanent on every replica."`
	OnRollback    []Hook `yaml:"on_rollback" doc:"When replicas were moved back: by an operator, after a deployment that failed half way, or from a version that did not last."`
}

// Hook is one thing that is run. Exactly one of Run and RPC is set.
type Hook struct {
	Run       Command       `yaml:"run" doc:"Program and arguments; no shell is involved. An entry that is only that may be written [PROGRAM, ARGUMENT]."`
	RPC       string        `yaml:"rpc" doc:"Call in an instance, m:f(Args)."`
	Timeout   time.Duration `yaml:"timeout_ms" default:"60000" min:"1" max:"86400000" doc:"How long it may take."`
	OnFailure string        `yaml:"on_failure" enum:"abort|ignore" computed:"abort for before_deploy and before_upgrade, ignore for the others" doc:"What follows when it fails. abort: the deployment ends, with nothing started, stopped or upgraded; only before_deploy and before_upgrade can."`
}

// Limits are limits of each instance. 0 means none.
type Limits struct {
	MemoryMax  Size    `yaml:"memory_max" min:"1048576" doc:"Memory, such as 2GiB. Above it the kernel kills a process of the instance; the crash event says so."`
	MemoryHigh Size    `yaml:"memory_high" min:"1048576" doc:"Memory above which the kernel slows the instance down and takes back what it can; below memory_max."`
	CPUQuota   Percent `yaml:"cpu_quota" min:"1" max:"1000000" doc:"Processor time in percent of one core, such as 200%."`
	TasksMax   int     `yaml:"tasks_max" min:"16" max:"4194304" doc:"Processes and threads. A BEAM has some 30 threads on two cores."`
}

// Certificate is one certificate got by ACME.
type Certificate struct {
	Type           string          `yaml:"type" default:"domains" enum:"domains" doc:"Kind of certificate."`
	Domains        []string        `yaml:"domains" doc:"Names in the certificate."`
	CheckInterval  time.Duration   `yaml:"certificate_check_interval_ms" default:"86400000" min:"1000" doc:"How often it is checked."`
	DNSPropagation time.Duration   `yaml:"dns_propagation_timeout_ms" default:"120000" min:"0" doc:"How long a DNS record may take to be seen."`
	DNSCheck       time.Duration   `yaml:"dns_check_interval_ms" default:"5000" min:"1" doc:"How often the record is looked for."`
	RenewDays      int             `yaml:"renew_before_days" default:"30" min:"0" max:"3650" doc:"Renewed when it is valid for less."`
	DNSProvider    string          `yaml:"dns_provider" required:"true" enum:"route53|cloudflare" doc:"Who serves the DNS zone."`
	DNSOptions     DNSOptions      `yaml:"dns_options" doc:"Settings of the DNS provider."`
	ACMEProvider   string          `yaml:"acme_provider" required:"true" enum:"lets_encrypt" doc:"Who signs."`
	ACMEOptions    ACMEOptions     `yaml:"acme_options" doc:"Settings of the signer."`
	Importer       string          `yaml:"importer" required:"true" enum:"route53" doc:"Where the certificate is imported (AWS Certificate Manager)."`
	ImporterOpts   ImporterOptions `yaml:"importer_options" doc:"Settings of the importer."`
	Storage        StorageOptions  `yaml:"storage_options" doc:"Files the certificate is written to."`
}

// DNSOptions are settings of a DNS provider.
type DNSOptions struct {
	TTL      int    `yaml:"ttl" default:"1" min:"0" doc:"Time to live of the record, in seconds."`
	Zone     string `yaml:"zone" scalar:"any" doc:"Zone identifier."`
	APIToken string `yaml:"api_token" scalar:"any" secret:"true" doc:"Token of Cloudflare."`
}

// ACMEOptions are settings of a signer.
type ACMEOptions struct {
	ContactEmail string        `yaml:"contact_email" doc:"Address of the account."`
	URL          string        `yaml:"url" default:"https://acme-v02.api.letsencrypt.org/directory" doc:"Directory of the ACME server."`
	KeySize      int           `yaml:"key_size" default:"2048" min:"1024" max:"16384" doc:"Bits of the RSA key."`
	Propagation  time.Duration `yaml:"propagation_timeout_ms" default:"120000" min:"0" doc:"How long the signer may take to see the record."`
	Check        time.Duration `yaml:"check_interval_ms" default:"2000" min:"1" doc:"How often the signer is asked."`
}

// ImporterOptions are settings of an importer.
type ImporterOptions struct {
	CertificateARN string `yaml:"certificate_arn" doc:"ARN of the certificate to replace."`
}

// StorageOptions are files that a certificate is written to.
type StorageOptions struct {
	CertificatePath string `yaml:"certificate_path" path:"file" doc:"File of the chain."`
	PrivateKeyPath  string `yaml:"private_key_path" path:"file" doc:"File of the key, mode 0600."`
}
