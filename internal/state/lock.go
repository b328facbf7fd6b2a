package state

type lock struct{}
