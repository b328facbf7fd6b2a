package state

import "testing"

func BenchmarkUpdate(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if err := s.Update(func(tx *Tx) error { return tx.PutInstance(Instance{Name: "a-123456"}) }); err != nil {
			b.Fatal(err)
		}
	}
}
