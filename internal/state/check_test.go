package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beamkeeper/beamkeeper/internal/api"
)

// filled is a closed state folder that has something of everything.
func filled(t testing.TB) (dir, db string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, 400)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Join(dir, DBFile)
}

func fill(t testing.TB, s *Store, events int) {
	t.Helper()
	for n := range 4 { // some pages become free
		err := s.Update(func(tx *Tx) error {
			var list []api.Event
			for i := range events / 4 {
				list = append(list, api.Event{ID: uint64(n*events/4 + i + 1), Type: "test", Message: strings.Repeat("x", 200)})
			}
			return errors.Join(
				tx.PutApp(App{Name: "shop"}), tx.PutInstance(Instance{Name: fmt.Sprintf("shop-00000%d", n), App: "shop"}),
				tx.PutDeployment(api.Deployment{ID: fmt.Sprintf("d%07d", n), App: "shop"}),
				tx.AddHistory("shop", api.HistoryEntry{Version: "1"}), tx.AddEvents(list),
			)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func checked(t testing.TB, path string) []string {
	t.Helper()
	found, err := Check(path)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// pageOf returns the offset of the nth page with a flag.
func pageOf(t *testing.T, b []byte, flag uint16, n int) int {
	t.Helper()
	free := freePages(b)
	for at := 2 * 4096; at+4096 <= len(b); at += 4096 {
		if binary.LittleEndian.Uint64(b[at:]) == uint64(at/4096) && binary.LittleEndian.Uint16(b[at+8:]) == flag && !slices.Contains(free, uint64(at/4096)) {
			if n--; n < 0 {
				return at
			}
		}
	}
	t.Fatalf("no page with flag %#x", flag)
	return 0
}

func freePages(b []byte) (free []uint64) {
	le := binary.LittleEndian
	m := 16
	if le.Uint64(b[4096+16+48:]) > le.Uint64(b[16+48:]) {
		m += 4096
	}
	at := int(le.Uint64(b[m+32:])) * 4096
	for i := range int(le.Uint16(b[at+10:])) {
		free = append(free, le.Uint64(b[at+16+8*i:]))
	}
	return append(free, uint64(at/4096))
}

func TestCheck_AWholeFileIsWhole(t *testing.T) {
	t.Parallel()
	_, db := filled(t)
	if found := checked(t, db); len(found) != 0 {
		t.Errorf("found %q", found)
	}
}

func TestCheck_SeesDamage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		damage func(t *testing.T, b []byte) []byte
		want   string
	}{
		{"empty", func(*testing.T, []byte) []byte { return nil }, "meta pages"},
		{"zeros", func(_ *testing.T, b []byte) []byte { clear(b); return b }, "meta pages"},
		{"both metas", func(_ *testing.T, b []byte) []byte { b[40]++; b[4096+40]++; return b }, "meta pages"},
		{"cut off", func(_ *testing.T, b []byte) []byte { return b[:12*4096] }, "cut off"},
		{"a leaf of zeros", func(t *testing.T, b []byte) []byte {
			at := pageOf(t, b, pageLeaf, 1)
			clear(b[at : at+4096])
			return b
		}, "says that it is page 0"},
		{"a torn leaf", func(t *testing.T, b []byte) []byte {
			at := pageOf(t, b, pageLeaf, 3)
			clear(b[at+512 : at+4096])
			return b
		}, ""},
		{"a branch that points elsewhere", func(t *testing.T, b []byte) []byte {
			at := pageOf(t, b, pageBranch, 0)
			binary.LittleEndian.PutUint64(b[at+16+8:], 1<<40)
			return b
		}, "outside of the file"},
		{"a page used twice", func(t *testing.T, b []byte) []byte {
			at := pageOf(t, b, pageBranch, 0)
			copy(b[at+16+8:at+16+16], b[at+32+8:at+32+16])
			return b
		}, "used twice"},
		{"another kind of page", func(t *testing.T, b []byte) []byte {
			binary.LittleEndian.PutUint16(b[pageOf(t, b, pageLeaf, 0)+8:], 0x77)
			return b
		}, "neither a branch nor a leaf"},
		{"no free pages", func(t *testing.T, b []byte) []byte {
			binary.LittleEndian.PutUint16(b[int(slices.Max(freePages(b)[len(freePages(b))-1:]))*4096+10:], 0)
			return b
		}, "neither used nor free"},
		{"a letter in a record", func(t *testing.T, b []byte) []byte {
			at := strings.Index(string(b[pageOf(t, b, pageLeaf, 2):]), `{"`)
			b[pageOf(t, b, pageLeaf, 2)+at] = 'X'
			return b
		}, "no JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, db := filled(t)
			write(t, db, tt.damage(t, read(t, db)))
			found := checked(t, db)
			if len(found) == 0 || !strings.Contains(strings.Join(found, "\n"), tt.want) {
				t.Fatalf("found %q, want %q", found, tt.want)
			}
			if tt.name == "empty" {
				return // without backups it is a new one
			}
			_, err := Open(dir)
			var damaged *DamagedError
			if !errors.As(err, &damaged) || !errors.Is(err, ErrDamaged) || len(damaged.Found) == 0 || len(damaged.Backups) != 0 {
				t.Errorf("Open: %v", err)
			}
		})
	}
}

// A meta page that a power cut has torn is what bbolt has two of them for.
func TestCheck_OneMetaPageIsEnough(t *testing.T) {
	t.Parallel()
	dir, db := filled(t)
	b := read(t, db)
	newer := 16
	if binary.LittleEndian.Uint64(b[4096+16+48:]) > binary.LittleEndian.Uint64(b[16+48:]) {
		newer += 4096
	}
	b[newer+48]++
	write(t, db, b)
	if found := checked(t, db); len(found) != 0 {
		t.Errorf("found %q", found)
	}
	open(t, dir)
}

func FuzzCheck(f *testing.F) {
	_, db := filled(f)
	b := read(f, db)[:40*4096]
	f.Add(b, 5000, byte(1))
	f.Add(b[:9000], 30, byte(255))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte, at int, x byte) {
		b = slices.Clone(b)
		if at >= 0 && at < len(b) {
			b[at] ^= x
		}
		path := filepath.Join(dir, "db")
		write(t, path, b)
		if _, err := Check(path); err != nil {
			t.Error(err)
		}
	})
}

func TestBackup_IsWholeAndRestored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s, 100)
	b, err := s.Backup()
	if err != nil {
		t.Fatal(err)
	}
	if found := checked(t, b.Path); len(found) != 0 || b.Size == 0 {
		t.Errorf("%+v: %q", b, found)
	}
	if st, _ := os.Stat(b.Path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	update(t, s, func(tx *Tx) error { return tx.PutApp(App{Name: "later"}) })
	if _, _, err := Restore(dir, ""); !errors.Is(err, ErrHeld) {
		t.Errorf("Restore below a daemon: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(dir, DBFile)
	torn := read(t, db)
	clear(torn[:3*4096])
	write(t, db, torn)
	_, err = Open(dir)
	var damaged *DamagedError
	if !errors.As(err, &damaged) || len(damaged.Backups) != 1 || damaged.Backups[0].Path != b.Path {
		t.Fatalf("Open: %v", err)
	}
	from, kept, err := Restore(dir, "")
	if err != nil || from.Path != b.Path || string(read(t, kept)) != string(torn) {
		t.Fatalf("Restore: %+v, %q, %v", from, kept, err)
	}
	s = open(t, dir)
	e, err := s.Export()
	if err != nil || len(e.Apps) != 1 || len(e.Instances) != 4 || len(e.Events) != 100 || len(e.History["shop"]) != 4 || len(e.Deployments) != 4 {
		t.Errorf("restored %+v, %v", e, err)
	}
}

// The newest backup that is whole is taken, and a damaged one is not taken when it is asked for.
func TestRestore_PassesOverDamagedBackups(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s, 100)
	good, err := s.Backup()
	if err != nil {
		t.Fatal(err)
	}
	bad, err := s.Backup()
	for ; err == nil && bad.Path == good.Path; bad, err = s.Backup() { // names tell milliseconds apart
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, bad.Path, read(t, bad.Path)[:5000])
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Restore(dir, bad.Path); !errors.Is(err, ErrDamaged) {
		t.Errorf("Restore of a damaged backup: %v", err)
	}
	if from, _, err := Restore(dir, ""); err != nil || from.Path != good.Path {
		t.Errorf("Restore: %+v, %v", from, err)
	}
	if _, _, err := Restore(t.TempDir(), ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Restore without backups: %v", err)
	}
}

// An empty file next to backups is a lost one, no new one.
func TestOpen_AnEmptyFileIsNoNewOneWhereThereAreBackups(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := s.Backup(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, DBFile), nil)
	if _, err := Open(dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("Open: %v", err)
	}
}

func TestSurplus_KeepsTheNewestAndOneOfEachDay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 12, 30, 0, 0, time.UTC)
	var list []Backup
	for h := range 20 * 24 {
		list = append(list, Backup{Path: fmt.Sprint(h), At: now.Add(-time.Duration(h) * time.Hour)})
	}
	drop := surplus(list)
	kept := slices.DeleteFunc(slices.Clone(list), func(b Backup) bool { return slices.Contains(drop, b) })
	want := keepNewest + keepDays - 1 // the newest is also the newest of its day
	if len(kept) != want || kept[0] != list[0] || kept[len(kept)-1].At.Day() != 4 || kept[len(kept)-1].At.Hour() != 23 {
		t.Errorf("kept %+v", kept)
	}
}

// Backups are made while others write, and each is a picture of one moment.
func TestBackup_WhileOthersWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 100 {
			err := s.Update(func(tx *Tx) error {
				return errors.Join(tx.PutApp(App{Name: "a", Restart: uint64(n)}), tx.PutApp(App{Name: "b", Restart: uint64(n)}))
			})
			if err != nil {
				t.Error(err)
			}
		}
	}()
	for range 10 {
		if _, err := s.Backup(); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	list, err := Backups(dir)
	if err != nil || len(list) == 0 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, b := range list {
		one := t.TempDir()
		write(t, filepath.Join(one, DBFile), read(t, b.Path))
		e, err := open(t, one).Export()
		if err != nil || len(e.Apps) != 0 && (len(e.Apps) != 2 || e.Apps[0].Restart != e.Apps[1].Restart) {
			t.Errorf("%+v, %v", e.Apps, err)
		}
	}
}
