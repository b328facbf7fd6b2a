package api

// Limits are what each instance of an app may use, all of its processes together. 0: no limit.
type Limits struct {
	MemoryMaxBytes  uint64 `json:"memory_max_bytes,omitempty"`
	MemoryHighBytes uint64 `json:"memory_high_bytes,omitempty"`
	CPUQuotaPercent int    `json:"cpu_quota_percent,omitempty"` // of one core
	TasksMax        uint64 `json:"tasks_max,omitempty"`         // processes and threads
}
