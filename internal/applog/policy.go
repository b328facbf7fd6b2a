package applog

import "time"

// Policy says how long the log files of an app are kept. A zero number is the default, a negative one is "no limit".
type Policy struct {
	MaxBytes int64         // a file with so much in it is rotated; 0: 20 MiB
	MaxAge   time.Duration // and one whose oldest line is so old; 0: a day
	Archives int           // compressed archives kept of each file; 0: 7
	Bytes    int64         // of all log files of the app together, on the disk; 0: 4 GiB

	GoneInstances int           // instances that are gone whose files are kept; 0: 20
	GoneAge       time.Duration // how long after their last line; 0: 14 days

	Dumps     int   // crash dumps kept; 0: 5
	DumpBytes int64 // of all crash dumps of the app together; 0: 2 GiB
}

// forever stands for no limit.
const forever = 1<<62 - 1

// WithDefaults fills in what is 0.
func (p Policy) WithDefaults() Policy {
	fill(&p.MaxBytes, 20<<20)
	fill(&p.MaxAge, 24*time.Hour)
	fill(&p.Archives, 7)
	fill(&p.Bytes, 4<<30)
	fill(&p.GoneInstances, 20)
	fill(&p.GoneAge, 14*24*time.Hour)
	fill(&p.Dumps, 5)
	fill(&p.DumpBytes, 2<<30)
	return p
}

func fill[T ~int | ~int64](v *T, def T) {
	switch {
	case *v == 0:
		*v = def
	case *v < 0:
		*v = forever
	}
}

// Space says how much of the log folder's file system must stay free. The zero Space is 100 MiB and 2 %.
type Space struct {
	MinBytes   int64 // 0: 100 MiB; negative: any
	MinPercent int   // 0: 2; negative: any
}
