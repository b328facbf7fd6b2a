package ssh

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/beamkeeper/beamkeeper/release"
)

// Config says where a bucket is.
type Config struct {
	Command []string // the program ssh and options for it; empty: ssh
	Host    string   // [USER@]HOST
	Port    string   // empty: as ssh has it
	Dir     string   // absolute, or starting from the user's home
}

// Parse reads ssh://[USER@]HOST[:PORT]/PATH. A path that begins with /~/ starts from the user's home.
func Parse(text string) (Config, error) {
	u, err := url.Parse(text)
	bad := func(why string) (Config, error) {
		return Config{}, fmt.Errorf("%q is no address such as ssh://deploy@host/var/lib/beamkeeper/bucket: %s", text, why)
	}
	if err != nil {
		return bad("it cannot be read")
	}
	_, password := u.User.Password()
	switch host := u.Hostname(); {
	case u.Scheme != "ssh":
		return bad("it does not begin with ssh://")
	case host == "" || strings.HasPrefix(host, "-"):
		return bad("there is no host in it")
	case password:
		return bad("a password does not belong into it; ssh asks an agent, or takes a key")
	case u.RawQuery != "" || u.Fragment != "":
		return bad("there is a ? or # in it")
	case strings.Trim(u.Path, "/") == "" || strings.ContainsAny(u.Path, "\x00\n\r"):
		return bad("there is no folder in it")
	case strings.HasPrefix(u.User.Username(), "-"):
		return bad("the user begins with -")
	}
	cfg := Config{Host: u.Hostname(), Port: u.Port(), Dir: path.Clean(u.Path)}
	if rest, ok := strings.CutPrefix(cfg.Dir, "/~/"); ok {
		cfg.Dir = rest
	}
	if name := u.User.Username(); name != "" {
		cfg.Host = name + "@" + cfg.Host
	}
	return cfg, nil
}

// Bucket is a release.Depot in a folder on another host. Each request is one run of ssh.
type Bucket struct{ cfg Config }

var (
	_ release.Depot  = (*Bucket)(nil)
	_ release.Summer = (*Bucket)(nil)
)

// New returns the bucket. The folder need not exist yet.
func New(cfg Config) *Bucket {
	if len(cfg.Command) == 0 {
		cfg.Command = []string{"ssh"}
	}
	return &Bucket{cfg: cfg}
}

// Location implements release.Bucket.
func (b *Bucket) Location(key string) string {
	host := b.cfg.Host
	if b.cfg.Port != "" {
		host += ":" + b.cfg.Port
	}
	dir := b.cfg.Dir
	if !path.IsAbs(dir) {
		dir = "/~/" + dir
	}
	return "ssh://" + host + path.Join(dir, key)
}

// What the scripts exit with, besides 255, which is ssh's own.
const (
	exitNone    = 44
	exitExists  = 45
	exitChanged = 46
)

// run makes the command that runs a script on the host with $1 = the path of key and the other arguments after it.
func (b *Bucket) run(ctx context.Context, script, key string, args ...string) *exec.Cmd {
	file := path.Join(b.cfg.Dir, key)
	if strings.HasPrefix(file, "-") {
		file = "./" + file
	}
	remote := "exec sh -c " + quote(script) + " beamkeeper"
	for _, a := range append([]string{file}, args...) {
		remote += " " + quote(a)
	}
	all := append([]string{}, b.cfg.Command...)
	if b.cfg.Port != "" {
		all = append(all, "-p", b.cfg.Port)
	}
	all = append(all, "-T", "--", b.cfg.Host, remote)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// output runs a script and returns what it wrote.
func (b *Bucket) output(ctx context.Context, script, key string, args ...string) (string, error) {
	cmd := b.run(ctx, script, key, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", b.explain(ctx, key, said.String(), err)
	}
	return out.String(), nil
}

// explain makes a *release.BucketError of a run that failed.
func (b *Bucket) explain(ctx context.Context, key, said string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	lines := strings.Split(strings.TrimSpace(said), "\n")
	e := &release.BucketError{Location: b.Location(key), Kind: release.ErrServer, Detail: strings.TrimSpace(lines[len(lines)-1]), Err: err}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		e.Kind, e.Detail, e.Remedy = release.ErrUnreachable, err.Error(), "install the program ssh"
		return e
	}
	switch code := exit.ExitCode(); {
	case code == exitNone:
		e.Kind, e.Detail = release.ErrNotFound, ""
	case code == exitExists:
		e.Kind, e.Detail = release.ErrExists, ""
	case code == exitChanged:
		e.Kind, e.Detail = release.ErrChanging, cmp.Or(e.Detail, "not all of it arrived")
	case code != 255:
	case strings.Contains(said, "Could not resolve"):
		e.Kind = release.ErrDNS
	case strings.Contains(said, "Host key verification failed"):
		e.Kind, e.Remedy = release.ErrDenied, "put the host's key into known_hosts: ssh-keyscan HOST, and compare it"
	case strings.Contains(said, "Permission denied"):
		e.Kind, e.Remedy = release.ErrDenied, "ssh "+b.cfg.Host+" must work without a question"
	default:
		e.Kind = release.ErrUnreachable
	}
	if e.Kind == release.ErrServer && strings.Contains(said, "Permission denied") {
		e.Kind = release.ErrDenied
	}
	if e.Kind == release.ErrServer && strings.Contains(said, "No space left") {
		e.Kind = release.ErrNoSpace
	}
	return e
}

const statScript = `[ -f "$1" ] || exit 44; stat -Lc '%i %s %Y' "$1"`

// Stat implements release.Depot.
func (b *Bucket) Stat(ctx context.Context, key string) (release.ObjectInfo, error) {
	out, err := b.output(ctx, statScript, key)
	if err != nil {
		return release.ObjectInfo{}, err
	}
	return b.info(key, strings.TrimSpace(out))
}

// info reads a line "INODE SIZE SECONDS".
func (b *Bucket) info(key, line string) (release.ObjectInfo, error) {
	f := strings.Fields(line)
	var numbers [3]int64
	for i := range numbers {
		var err error = strconv.ErrSyntax
		if len(f) == len(numbers) {
			numbers[i], err = strconv.ParseInt(f[i], 10, 64)
		}
		if err != nil {
			return release.ObjectInfo{}, &release.BucketError{Location: b.Location(key), Kind: release.ErrServer, Detail: fmt.Sprintf("the host answers with %.80q", line), Remedy: "the user's shell there must write nothing of its own"}
		}
	}
	return release.ObjectInfo{
		Key: key, Location: b.Location(key), Token: strings.Join(f, "-"), Size: numbers[1], ModTime: time.Unix(numbers[2], 0).UTC(),
	}, nil
}

// Sum implements release.Summer.
func (b *Bucket) Sum(ctx context.Context, key string) (string, error) {
	out, err := b.output(ctx, `[ -f "$1" ] || exit 44; sha256sum < "$1"`, key)
	sum, _, _ := strings.Cut(strings.TrimSpace(out), " ")
	return sum, err
}

// Open implements release.Bucket.
func (b *Bucket) Open(ctx context.Context, key string, offset int64) (*release.Object, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := b.run(ctx, statScript+` && exec tail -c "+$2" "$1"`, key, strconv.FormatInt(offset+1, 10))
	body := &body{cancel: cancel, cmd: cmd}
	cmd.Stderr = &body.said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, b.explain(ctx, key, "", err)
	}
	body.r = bufio.NewReaderSize(out, 64<<10)
	line, err := body.r.ReadString('\n')
	var o release.Object
	if err == nil {
		o.ObjectInfo, err = b.info(key, strings.TrimSpace(line))
	} else if werr := cmd.Wait(); werr != nil {
		body.ended = true
		err = b.explain(ctx, key, body.said.String(), werr)
	}
	if err != nil {
		body.Close()
		return nil, err
	}
	body.left = max(0, o.Size-offset)
	body.explain = func(err error) error { return b.explain(ctx, key, body.said.String(), err) }
	o.Body = body
	return &o, nil
}

// body is what a run of ssh writes.
type body struct {
	cmd     *exec.Cmd
	cancel  context.CancelFunc
	r       *bufio.Reader
	said    bytes.Buffer // read after Wait
	left    int64
	ended   bool
	explain func(error) error
}

func (r *body) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.left -= int64(n)
	if err == nil {
		return n, nil
	}
	if !r.ended {
		r.ended = true
		if werr := r.cmd.Wait(); werr != nil {
			return n, r.explain(werr)
		}
	}
	if errors.Is(err, io.EOF) && r.left != 0 {
		return n, fmt.Errorf("%w: %d bytes are missing, or too many", release.ErrChanging, r.left)
	}
	return n, err
}

// Close ends the run.
func (r *body) Close() error {
	r.cancel()
	if !r.ended {
		r.ended = true
		_ = r.cmd.Wait() // it was killed
	}
	return nil
}

// List implements release.Bucket.
func (b *Bucket) List(ctx context.Context, prefix string) ([]release.ObjectInfo, error) {
	out, err := b.output(ctx, `[ -d "$1" ] || exit 0; cd "$1" && find -L . -mindepth 1 -maxdepth 1 -type f -exec stat -Lc '%i %s %Y %n' {} +`, prefix)
	var all []release.ObjectInfo
	for line := range strings.Lines(out) {
		numbers, name, ok := strings.Cut(strings.TrimRight(line, "\n"), " ./")
		if !ok {
			continue
		}
		info, err := b.info(path.Join(prefix, name), numbers)
		if err != nil {
			return nil, err
		}
		all = append(all, info)
	}
	return all, err
}

// Folders implements release.Foldered.
func (b *Bucket) Folders(ctx context.Context, prefix string) ([]string, error) {
	out, err := b.output(ctx, `[ -d "$1" ] || exit 0; cd "$1" && find -L . -mindepth 1 -maxdepth 1 -type d`, prefix)
	var all []string
	for line := range strings.Lines(out) {
		all = append(all, path.Base(strings.TrimRight(line, "\n")))
	}
	return all, err
}

// Put implements release.Uploader.
func (b *Bucket) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	_, err := b.PutObject(ctx, key, r, release.PutOptions{Size: size})
	return err
}

// putScript writes standard input to a file of another name, checks it, and then renames it: $2 its size, $3 its sha256
// or nothing, $4 new if there may be no such file.
const putScript = `f=$1; d=${f%/*}; t=
trap '[ -z "$t" ] || rm -f "$t"' EXIT
trap 'exit 1' HUP INT TERM PIPE
mkdir -p "$d" || exit 1
[ "$4" != new ] || [ ! -e "$f" ] || exit 45
t=$(mktemp "$d/.beamkeeper-XXXXXXXX") || exit 1
cat > "$t" || exit 1
[ "$(($(wc -c < "$t")))" = "$2" ] || exit 46
[ -z "$3" ] || [ "$(sha256sum < "$t" | cut -d' ' -f1)" = "$3" ] || exit 46
chmod 0644 "$t" || exit 1
sync "$t" 2>/dev/null || sync
if [ "$4" = new ]; then
	ln "$t" "$f" 2>/dev/null || { [ ! -e "$f" ] || exit 45; ln "$t" "$f"; exit 1; }
	rm -f "$t"
else
	mv -f "$t" "$f" || exit 1
fi
t=
sync "$d" 2>/dev/null || :
stat -Lc '%i %s %Y' "$f"`

// PutObject implements release.Depot: a connection that is cut off leaves what was there.
func (b *Bucket) PutObject(ctx context.Context, key string, r io.Reader, o release.PutOptions) (release.ObjectInfo, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	kind := ""
	if o.New {
		kind = "new"
	}
	cmd := b.run(ctx, putScript, key, strconv.FormatInt(o.Size, 10), strings.ToLower(o.SHA256), kind)
	// A reader that fails must not look like one that is at its end: the host would have all of it and not know.
	src := &source{r: r, cancel: cancel}
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = src, &out, &said
	err := cmd.Run()
	switch {
	case src.err != nil:
		return release.ObjectInfo{}, src.err
	case err != nil:
		return release.ObjectInfo{}, b.explain(ctx, key, said.String(), err)
	}
	return b.info(key, strings.TrimSpace(out.String()))
}

// source keeps the error of a reader, and ends what reads it.
type source struct {
	r      io.Reader
	cancel context.CancelFunc
	err    error // read after the run
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
		s.cancel()
		return 0, err
	}
	return n, err
}

// Delete implements release.Depot.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	_, err := b.output(ctx, `rm -f -- "$1"`, key)
	return err
}
