package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/emulator"
	"github.com/beamkeeper/beamkeeper/internal/sampletest"
	"github.com/beamkeeper/beamkeeper/release"
	"github.com/beamkeeper/beamkeeper/release/s3"
)

// keepToS3 has the SDK find the emulator's owner, and nothing else.
func keepToS3(b *testing.B, s *emulator.S3) {
	for key, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": s.Access, "AWS_SECRET_ACCESS_KEY": s.Secret, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		b.Setenv(key, value)
	}
}

// moveToS3 ends the daemon and starts it again with a bucket in S3.
func (h *benchHost) moveToS3(url string) {
	h.tb.Helper()
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	_ = h.cmd.Wait()
	defer h.start()
	file := filepath.Join(h.dir, "beamkeeper.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		h.tb.Fatal(err)
	}
	var lines []string
	for l := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(l, "release_adapter:"):
			l = fmt.Sprintf("release_adapter: s3\naws_region: %s\nrelease: {s3: {endpoint: %q, path_style: true}}\n", emulator.Region, url)
		case strings.HasPrefix(l, "release_bucket:"):
			l = "release_bucket: " + emulator.Bucket + "\n"
		}
		lines = append(lines, l)
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o644); err != nil {
		h.tb.Fatal(err)
	}
}

// BenchmarkDeployFromS3 is the time from current.json written, and polled for, to the first instance ready: from S3 beside
// from a folder, and the bare boot of the release.
func BenchmarkDeployFromS3(b *testing.B) {
	s := emulator.StartS3(b)
	keepToS3(b, s)
	tarball, binary := sampletest.Build(b, "erlang", "0.1.0"), buildBinary(b)
	boot := bareBoot(b, tarball)
	content, err := os.ReadFile(tarball)
	if err != nil {
		b.Fatal(err)
	}
	bucket := benchS3(b, s.URL)
	for b.Loop() {
		folder := newBenchHost(b, binary, 1, 1)
		folder.offer("0.1.0", tarball)
		fromFolder, _ := folder.announce("0.1.0")
		folder.stopAll()

		far := newBenchHost(b, binary, 1, 1)
		far.moveToS3(s.URL)
		if err := bucket.Put(b.Context(), release.ArchiveKey("sample", "0.1.0"), bytes.NewReader(content), int64(len(content))); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		far.name(bucket, "sample", "0.1.0")
		if err := far.client.Poll(b.Context(), "sample"); err != nil {
			b.Fatal(err)
		}
		far.until("0.1.0 to run", func() bool { return far.serves(far.instances(), "0.1.0") })
		fromS3 := time.Since(began)
		far.stopAll()
		if err := bucket.Delete(b.Context(), release.CurrentKey("sample", "local")); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(ms(boot), "boot-ms")
		b.ReportMetric(ms(fromFolder), "folder-ms")
		b.ReportMetric(ms(fromS3), "s3-ms")
	}
	b.ReportMetric(0, "ns/op")
}

func benchS3(b *testing.B, url string) *s3.Bucket {
	b.Helper()
	bucket, err := s3.New(s3.Config{Bucket: emulator.Bucket, Region: emulator.Region, Endpoint: url, PathStyle: true})
	if err != nil {
		b.Fatal(err)
	}
	return bucket
}

// name writes a current.json to a bucket.
func (h *benchHost) name(bucket release.Uploader, app, version string) {
	h.tb.Helper()
	current := []byte(`{"version":"` + version + `"}`)
	if err := bucket.Put(context.Background(), release.CurrentKey(app, "local"), bytes.NewReader(current), int64(len(current))); err != nil {
		h.tb.Fatal(err)
	}
}

// BenchmarkDownload2GiB measures what the daemon's store needs of memory for a release of 2 GiB, and how fast it comes from a
// server that has it in memory.
func BenchmarkDownload2GiB(b *testing.B) {
	const total = 2 << 30
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
		w.Header().Set("Content-Length", strconv.Itoa(total))
		_, _ = io.Copy(w, io.LimitReader(zeros{}, total))
	}))
	defer srv.Close()
	b.Setenv("AWS_ACCESS_KEY_ID", "x")
	b.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	b.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	bucket := benchS3(b, srv.URL)
	b.SetBytes(total)
	for b.Loop() {
		store, err := release.OpenStore(release.StoreConfig{Dir: b.TempDir(), Source: release.Source{Bucket: bucket}, Reserve: -1})
		if err != nil {
			b.Fatal(err)
		}
		most, stop := watchMemory()
		_, err = store.Fetch(b.Context(), "sample", release.Current{Version: "1"})
		stop()
		if err == nil || !strings.Contains(err.Error(), "unpack") {
			b.Fatalf("2 GiB of zeros: %v", err) // which are no archive, but came
		}
		b.ReportMetric(float64(most.Load())/(1<<20), "peak-MiB")
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// watchMemory follows how much of this process is in memory (the server of the test included).
func watchMemory() (most *atomic.Int64, stop func()) {
	most = new(atomic.Int64)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			most.Store(max(most.Load(), residentOf(os.Getpid())))
			time.Sleep(10 * time.Millisecond)
		}
	}()
	return most, func() { cancel(); <-done }
}

func residentOf(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	n, _ := strconv.ParseInt(fields[1], 10, 64)
	return n * int64(os.Getpagesize())
}

// BenchmarkPoll50Apps measures what 50 idle apps in S3 cost at the default interval: requests in an hour, and the CPU of one
// core.
func BenchmarkPoll50Apps(b *testing.B) {
	const apps, watched = 50, 30 * time.Second
	s := emulator.StartS3(b)
	keepToS3(b, s)
	binary := buildBinary(b)
	bucket := benchS3(b, s.URL)
	for b.Loop() {
		h := newBenchHost(b, binary, 1, 1)
		h.addStoppedApps(apps)
		for i := range apps {
			app := fmt.Sprintf("app%d", i)
			h.name(bucket, app, "1")
			if err := bucket.Put(b.Context(), release.ArchiveKey(app, "1"), bytes.NewReader([]byte("x")), 1); err != nil {
				b.Fatal(err)
			}
		}
		h.moveToS3(s.URL)
		time.Sleep(20 * time.Second) // the failed deployments of what is no archive are over
		s.Requests()
		before := h.cpu()
		time.Sleep(watched)
		cpu, requests := h.cpu()-before, len(s.Requests())
		b.ReportMetric(float64(requests)*float64(time.Hour/watched)/apps, "polls/h/app")
		b.ReportMetric(100*float64(cpu)/float64(watched), "cpu-%")
		b.ReportMetric(h.residentMB(), "rss-MB")
		h.stopAll()
	}
	b.ReportMetric(0, "ns/op")
}

// addStoppedApps adds apps of which no replica is wanted.
func (h *benchHost) addStoppedApps(n int) {
	h.tb.Helper()
	f, err := os.OpenFile(filepath.Join(h.dir, "beamkeeper.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		h.tb.Fatal(err)
	}
	defer f.Close()
	for i := range n {
		fmt.Fprintf(f, "  - {name: app%d, language: erlang, replicas: 0}\n", i)
	}
}
