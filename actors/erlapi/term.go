package erlapi

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	"github.com/beamkeeper/beamkeeper/etf"
	"github.com/beamkeeper/beamkeeper/internal/api"
)

// atomUndefined stands for a time or a deployment that is not there.
const atomUndefined etf.Atom = "undefined"

// termOf gives the term of a shape of package api:
//
//	struct          map, its keys atoms: the names of the JSON form. Every key is always there.
//	map             map, its keys binaries, since they come from outside
//	string          binary
//	api.Time        binary, RFC 3339 in UTC with milliseconds; the zero Time is undefined
//	pointer         what it points to; nil is undefined
//	any             what is in it; a float without a fraction, as JSON has no others, is an integer
func termOf(v any) etf.Term { return term(reflect.ValueOf(v)) }

func term(v reflect.Value) etf.Term {
	if !v.IsValid() {
		return atomUndefined
	}
	if t, ok := v.Interface().(api.Time); ok {
		return timeTerm(t)
	}
	switch v.Kind() {
	case reflect.Struct:
		m := make(etf.Map, 0, v.NumField())
		return structPairs(m, v)
	case reflect.Map:
		m := make(etf.Map, 0, v.Len())
		for it := v.MapRange(); it.Next(); {
			m = append(m, etf.MapPair{Key: etf.Binary(it.Key().String()), Value: term(it.Value())})
		}
		return m
	case reflect.Slice:
		l := make(etf.List, v.Len())
		for i := range l {
			l[i] = term(v.Index(i))
		}
		return l
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return atomUndefined
		}
		if f, ok := v.Elem().Interface().(float64); ok && v.Kind() == reflect.Interface {
			return number(f)
		}
		return term(v.Elem())
	case reflect.String:
		return etf.Binary(v.String())
	case reflect.Bool:
		return boolAtom(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n := v.Uint(); n > math.MaxInt64 {
			return n // the encoder makes a big integer of it
		}
		return int64(v.Uint())
	case reflect.Float32, reflect.Float64:
		return floatTerm(v.Float())
	}
	return etf.Binary(fmt.Sprint(v.Interface()))
}

func structPairs(m etf.Map, v reflect.Value) etf.Map {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			m = structPairs(m, v.Field(i))
		case f.IsExported() && name != "" && name != "-":
			m = append(m, etf.MapPair{Key: etf.Atom(name), Value: term(v.Field(i))})
		}
	}
	return m
}

func timeTerm(t api.Time) etf.Term {
	if t.IsZero() {
		return atomUndefined
	}
	return etf.Binary(t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

func boolAtom(b bool) etf.Term {
	if b {
		return etf.Atom("true")
	}
	return etf.Atom("false")
}

// number is a number that JSON has been through.
func number(f float64) etf.Term {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f)
	}
	return floatTerm(f)
}

// floatTerm is a float, or undefined for what is no number in Erlang.
func floatTerm(f float64) etf.Term {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return atomUndefined
	}
	return f
}
