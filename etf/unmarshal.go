package etf

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Unmarshaler is implemented by types that read themselves from a term.
type Unmarshaler interface{ UnmarshalETF(t Term) error }

// Unmarshal decodes b, which starts with 131, and stores the term in the value that v points to, as UnmarshalTerm does.
// Errors: *SyntaxError, *UnmarshalError.
func Unmarshal(b []byte, v any) error {
	t, err := Decode(b)
	if err != nil {
		return err
	}
	return UnmarshalTerm(t, v)
}

// UnmarshalTerm stores t in the value that v points to.
//
//	Go                     takes
//	any, and etf's types   the term as it is
//	bool                   true, false
//	integers, big.Int      integers that fit
//	floats                 floats and integers
//	string                 binaries, strings, chardata, atoms
//	[]byte                 binaries, lists of bytes
//	slices                 proper lists, tuples
//	arrays                 the same of exactly that length
//	maps                   maps, lists of {Key, Value}
//	structs                maps, lists of {Key, Value} and of atoms that mean {Atom, true}
//	pointers               undefined, nil and null as nil; else what the element takes
//
// A struct field is filled from the key that is its name in snake case (MessageQueueLen: message_queue_len) or the name
// in its tag `etf:"name"`; the key may be an atom, a binary or a string. `etf:"-"` leaves a field out, `etf:"name,required"`
// makes a missing key an error; other fields without a key stay as they are, keys without a field are passed over.
// A struct with a field `_ struct{}` tagged `etf:",tuple"` takes a tuple instead, of exactly its fields in their order;
// tagged `etf:"name,record"`, a tuple that starts with the atom name.
//
// A type that implements Unmarshaler on its pointer reads itself. What is stored may alias t. On error v is filled in
// part. Errors: *UnmarshalError, which names the path to the part that did not fit.
func UnmarshalTerm(t Term, v any) error {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		return &UnmarshalError{Err: fmt.Errorf("want a pointer that is not nil, have %T", v)}
	}
	return store("", plain(t), rv.Elem())
}

var (
	unmarshalerType = reflect.TypeFor[Unmarshaler]()
	bigIntType      = reflect.TypeFor[big.Int]()
	byteSliceType   = reflect.TypeFor[[]byte]()
)

// store puts t, which went through plain, into v.
func store(path string, t Term, v reflect.Value) error {
	if v.CanAddr() && v.Addr().Type().Implements(unmarshalerType) {
		if err := v.Addr().Interface().(Unmarshaler).UnmarshalETF(t); err != nil {
			return inside(path, err)
		}
		return nil
	}
	if t == nil {
		return &UnmarshalError{Path: path, Err: errors.New("nil is no term")}
	}
	if reflect.TypeOf(t).AssignableTo(v.Type()) {
		v.Set(reflect.ValueOf(t))
		return nil
	}
	if v.Type() == bigIntType {
		return storeBig(path, t, v)
	}
	switch v.Kind() {
	case reflect.Pointer:
		return storePointer(path, t, v)
	case reflect.Bool:
		if a, ok := t.(Atom); ok && (a == "true" || a == "false") {
			v.SetBool(a == "true")
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n, ok := t.(int64); ok && !v.OverflowInt(n) {
			v.SetInt(n)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if n, ok := asUint(t); ok && !v.OverflowUint(n) {
			v.SetUint(n)
			return nil
		}
	case reflect.Float32, reflect.Float64:
		if f, ok := asFloat(t); ok && !v.OverflowFloat(f) {
			v.SetFloat(f)
			return nil
		}
	case reflect.String:
		if s, ok := Text(t); ok {
			v.SetString(s)
			return nil
		}
	case reflect.Slice:
		return storeSlice(path, t, v)
	case reflect.Array:
		return storeArray(path, t, v)
	case reflect.Map:
		return storeMap(path, t, v)
	case reflect.Struct:
		return storeStruct(path, t, v)
	}
	return misfit(path, t, v.Type())
}

func misfit(path string, t Term, typ reflect.Type) error {
	const longest = 60
	text := Format(t)
	if len(text) > longest {
		cut := longest
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "..."
	}
	return &UnmarshalError{Path: path, Term: text, Type: typ}
}

// inside puts path before that of an error from a part's own Unmarshaler.
func inside(path string, err error) error {
	var e *UnmarshalError
	if errors.As(err, &e) {
		inner := *e
		if strings.HasPrefix(inner.Path, "[") || path == "" || inner.Path == "" {
			inner.Path = path + inner.Path
		} else {
			inner.Path = path + "." + inner.Path
		}
		return &inner
	}
	return &UnmarshalError{Path: path, Err: err}
}

func asUint(t Term) (uint64, bool) {
	switch n := t.(type) {
	case int64:
		return uint64(n), n >= 0
	case *big.Int:
		return n.Uint64(), n.IsUint64()
	}
	return 0, false
}

func asFloat(t Term) (float64, bool) {
	switch n := t.(type) {
	case float64:
		return n, true
	case int64:
		return float64(n), true
	case *big.Int:
		f, _ := new(big.Float).SetInt(n).Float64()
		return f, true
	}
	return 0, false
}

func storeBig(path string, t Term, v reflect.Value) error {
	switch n := t.(type) {
	case int64:
		v.Addr().Interface().(*big.Int).SetInt64(n)
	case *big.Int:
		v.Addr().Interface().(*big.Int).Set(n)
	default:
		return misfit(path, t, v.Type())
	}
	return nil
}

func storePointer(path string, t Term, v reflect.Value) error {
	if a, ok := t.(Atom); ok && (a == "undefined" || a == "nil" || a == "null") {
		v.SetZero()
		return nil
	}
	p := reflect.New(v.Type().Elem())
	if err := store(path, t, p.Elem()); err != nil {
		return err
	}
	v.Set(p)
	return nil
}

// elements are the elements of a proper list or a tuple.
func elements(t Term) ([]Term, bool) {
	switch l := t.(type) {
	case List:
		return l, true
	case Tuple:
		return l, true
	case Charlist:
		out := make([]Term, len(l))
		for i := range out {
			out[i] = int64(l[i])
		}
		return out, true
	}
	return nil, false
}

func storeSlice(path string, t Term, v reflect.Value) error {
	if v.Type().ConvertibleTo(byteSliceType) {
		switch b := t.(type) {
		case Binary:
			v.SetBytes(b)
			return nil
		case Charlist:
			v.SetBytes([]byte(b))
			return nil
		}
	}
	elems, ok := elements(t)
	if !ok {
		return misfit(path, t, v.Type())
	}
	out := reflect.MakeSlice(v.Type(), len(elems), len(elems))
	if err := storeElems(path, elems, out); err != nil {
		return err
	}
	v.Set(out)
	return nil
}

func storeArray(path string, t Term, v reflect.Value) error {
	elems, ok := elements(t)
	if !ok || len(elems) != v.Len() {
		return misfit(path, t, v.Type())
	}
	return storeElems(path, elems, v)
}

func storeElems(path string, elems []Term, v reflect.Value) error {
	for i, t := range elems {
		if err := store(path+"["+strconv.Itoa(i)+"]", plain(t), v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// pairs are the associations of a map or a list of {Key, Value}; with atoms, Atom stands for {Atom, true} in a list.
func pairs(t Term, atoms bool) (Map, bool) {
	switch v := t.(type) {
	case Map:
		return v, true
	case List:
		m := make(Map, 0, len(v))
		for _, e := range v {
			switch e := plain(e).(type) {
			case Tuple:
				if len(e) != 2 {
					return nil, false
				}
				m = append(m, MapPair{Key: e[0], Value: e[1]})
			case Atom:
				if !atoms {
					return nil, false
				}
				m = append(m, MapPair{Key: e, Value: Atom("true")})
			default:
				return nil, false
			}
		}
		return m, true
	}
	return nil, false
}

func storeMap(path string, t Term, v reflect.Value) error {
	assoc, ok := pairs(t, false)
	if !ok {
		return misfit(path, t, v.Type())
	}
	if key := v.Type().Key(); !key.Comparable() {
		return misfit(path, t, v.Type())
	}
	out := reflect.MakeMapWithSize(v.Type(), len(assoc))
	for _, p := range assoc {
		at := join(path, keyText(p.Key))
		key := reflect.New(v.Type().Key()).Elem()
		if err := store(at, plain(p.Key), key); err != nil {
			return err
		}
		if !key.Comparable() { // an interface that holds a slice
			return misfit(at, p.Key, v.Type().Key())
		}
		if out.MapIndex(key).IsValid() {
			continue // of two pairs in a list the first counts, as in proplists
		}
		value := reflect.New(v.Type().Elem()).Elem()
		if err := store(at, plain(p.Value), value); err != nil {
			return err
		}
		out.SetMapIndex(key, value)
	}
	v.Set(out)
	return nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func keyText(key Term) string {
	if s, ok := Text(key); ok && s != "" {
		return s
	}
	return Format(key)
}

// structPlan says how a struct type is filled.
type structPlan struct {
	fields []structField
	byName map[string]int // index into fields
	tuple  bool
	record Atom
}

type structField struct {
	index    []int
	name     string
	required bool
}

var structPlans sync.Map // reflect.Type to *structPlan

func planOf(typ reflect.Type) *structPlan {
	if p, ok := structPlans.Load(typ); ok {
		return p.(*structPlan)
	}
	plan := &structPlan{byName: map[string]int{}}
	for _, f := range reflect.VisibleFields(typ) {
		name, option, _ := strings.Cut(f.Tag.Get("etf"), ",")
		if f.Name == "_" && len(f.Index) == 1 {
			plan.tuple = plan.tuple || option == "tuple" || option == "record"
			if option == "record" {
				plan.record = Atom(name)
			}
			continue
		}
		if !f.IsExported() || f.Anonymous || name == "-" {
			continue
		}
		if name == "" {
			name = snakeCase(f.Name)
		}
		plan.byName[name] = len(plan.fields)
		plan.fields = append(plan.fields, structField{index: f.Index, name: name, required: option == "required"})
	}
	p, _ := structPlans.LoadOrStore(typ, plan)
	return p.(*structPlan)
}

// snakeCase turns MessageQueueLen into message_queue_len and OSPid into os_pid.
func snakeCase(name string) string {
	var out strings.Builder
	runes := []rune(name)
	for i, c := range runes {
		if unicode.IsUpper(c) && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(c))
	}
	return out.String()
}

func storeStruct(path string, t Term, v reflect.Value) error {
	plan := planOf(v.Type())
	if plan.tuple {
		return storeTuple(path, t, v, plan)
	}
	assoc, ok := pairs(t, true)
	if !ok {
		return misfit(path, t, v.Type())
	}
	seen := make([]bool, len(plan.fields))
	for _, p := range assoc {
		name, ok := Text(p.Key)
		if !ok {
			continue
		}
		i, ok := plan.byName[name]
		if !ok || seen[i] {
			continue
		}
		seen[i] = true
		if err := store(join(path, name), plain(p.Value), field(v, plan.fields[i].index)); err != nil {
			return err
		}
	}
	for i, f := range plan.fields {
		if f.required && !seen[i] {
			return &UnmarshalError{Path: join(path, f.name), Term: "nothing", Type: v.Type(), Err: errors.New("missing")}
		}
	}
	return nil
}

// field is v.FieldByIndex that allocates embedded pointers.
func field(v reflect.Value, index []int) reflect.Value {
	for i, x := range index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(x)
	}
	return v
}

func storeTuple(path string, t Term, v reflect.Value, plan *structPlan) error {
	elems, ok := t.(Tuple)
	if ok && plan.record != "" {
		if ok = len(elems) > 0 && plain(elems[0]) == plan.record; ok {
			elems = elems[1:]
		}
	}
	if !ok || len(elems) != len(plan.fields) {
		return misfit(path, t, v.Type())
	}
	for i, f := range plan.fields {
		if err := store(join(path, f.name), plain(elems[i]), field(v, f.index)); err != nil {
			return err
		}
	}
	return nil
}
