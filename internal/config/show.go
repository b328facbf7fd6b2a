package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Mask stands for a secret in what Show gives.
const Mask = "********"

// Show gives the effective configuration as YAML, every default filled in and every secret masked. Settings that are
// empty are left out. Parse accepts it.
func (c *Config) Show() []byte {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(c.tree()); err != nil {
		panic("config: show: " + err.Error()) // the tree is made of plain scalars
	}
	return b.Bytes()
}

// ShowJSON gives what Show gives, as JSON, with the keys in the same order.
func (c *Config) ShowJSON() []byte {
	var b, out bytes.Buffer
	writeJSON(&b, c.tree())
	if err := json.Indent(&out, b.Bytes(), "", "  "); err != nil {
		panic("config: show: " + err.Error())
	}
	out.WriteByte('\n')
	return out.Bytes()
}

func (c *Config) tree() *yaml.Node { return showSection(table(), reflect.ValueOf(c).Elem()) }

// showSection makes the mapping of a struct; nil when everything in it is empty.
func showSection(fs []field, v reflect.Value) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for i := range fs {
		f := &fs[i]
		if n := showValue(f, f.value(v), v); n != nil {
			m.Content = append(m.Content, textNode(f.key), n)
		}
	}
	return m
}

// showValue makes the node of a value, nil when it is empty. Parent is the struct that holds it.
func showValue(f *field, v, parent reflect.Value) *yaml.Node {
	switch f.kind {
	case kindSection:
		if n := showSection(f.fields, v); len(n.Content) > 0 {
			return n
		}
		return nil
	case kindOptional:
		if v.IsNil() {
			return nil
		}
		return showSection(f.fields, v.Elem())
	case kindSections, kindStrings, kindCommand, kindCommands:
		return showList(f, v)
	case kindString:
		if v.String() == "" && f.secret != "env" {
			return nil
		}
		return textNode(masked(f, v.String(), parent))
	case kindBool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v.Bool())}
	case kindInt:
		if v.Int() == 0 && f.def == "" && f.computed == "" {
			return nil
		}
		return intNode(v.Int())
	case kindDuration:
		return intNode(v.Int() / int64(time.Millisecond))
	case kindSize:
		if v.Int() == 0 && f.def == "" && f.computed == "" {
			return nil
		}
		if s := Size(v.Int()).String(); !isDigits(s) {
			return textNode(s)
		}
		return intNode(v.Int())
	case kindPercent:
		if v.Int() == 0 && f.def == "" && f.computed == "" {
			return nil
		}
		if strings.HasSuffix(f.key, "_percent") {
			return intNode(v.Int())
		}
		return textNode(Percent(v.Int()).String())
	}
	panic("config: show: " + f.key)
}

func showList(f *field, v reflect.Value) *yaml.Node {
	// An empty list is shown only where the default is another.
	if v.Len() == 0 && f.def == "" {
		return nil
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	if f.kind != kindSections || v.Len() == 0 {
		list.Style = yaml.FlowStyle
	}
	for i := range v.Len() {
		switch item := v.Index(i); f.kind {
		case kindSections:
			list.Content = append(list.Content, showSection(f.fields, item))
		case kindCommands:
			list.Content = append(list.Content, showList(&field{kind: kindCommand}, item))
		case kindCommand:
			list.Content = append(list.Content, textNode(maskArgument(item.String())))
		default:
			list.Content = append(list.Content, textNode(masked(f, item.String(), v)))
		}
	}
	return list
}

func textNode(s string) *yaml.Node {
	n := new(yaml.Node)
	n.SetString(s)
	return n
}

func intNode(i int64) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(i, 10)}
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// masked gives the text of a string, or what may be seen of it.
func masked(f *field, s string, parent reflect.Value) string {
	switch f.secret {
	case "true":
		return Mask
	case "url":
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			return u.Scheme + "://" + u.Host + "/" + Mask
		}
		return Mask
	case "env":
		if e, ok := parent.Interface().(EnvVar); ok && secretName(e.Key) && s != "" && !isPlainFlag(s) {
			return Mask
		}
	}
	return maskText(s)
}

// Words that make a name look like that of a secret, and endings that say it only leads to one.
var (
	secretWord = regexp.MustCompile(`(?i)(secret|passw|passphrase|pwd|token|credential|cookie|salt|api_?key|access_?key|private_?key|signing_?key|encryption_?key|master_?key|auth_?key|routing_?key|license_?key|(^|_)(key|pass|auth|dsn|pem|jwt|pin)$)`)
	notSecret  = regexp.MustCompile(`(?i)_(path|file|dir|adapter|provider|enabled|timeout|ttl|ms|name|region|host|port|length|size|type|version|arn)$`)
)

func secretName(s string) bool { return secretWord.MatchString(s) && !notSecret.MatchString(s) }

// isPlainFlag reports whether a value is true or false, which hides nothing.
func isPlainFlag(s string) bool { return s == "true" || s == "false" }

var (
	urlLogin    = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^\s/?#@]*)@`)
	urlArgument = regexp.MustCompile(`([?&;])([A-Za-z0-9_.-]+)=([^&;#\s]+)`)
	assignment  = regexp.MustCompile(`(?s)^(-*)([A-Za-z0-9_.-]+)=(.+)$`)
)

// maskText hides what can be told to be secret in any text: logins in URLs, secret arguments of URLs, private keys.
func maskText(s string) string {
	if strings.Contains(s, "PRIVATE KEY-----") {
		return Mask
	}
	s = urlLogin.ReplaceAllStringFunc(s, func(m string) string {
		parts := urlLogin.FindStringSubmatch(m)
		if user, _, ok := strings.Cut(parts[2], ":"); ok {
			return parts[1] + user + ":" + Mask + "@"
		}
		return parts[1] + Mask + "@"
	})
	return urlArgument.ReplaceAllStringFunc(s, func(m string) string {
		parts := urlArgument.FindStringSubmatch(m)
		if !secretName(strings.ReplaceAll(parts[2], "-", "_")) {
			return m
		}
		return parts[1] + parts[2] + "=" + Mask
	})
}

// maskArgument hides the value of an argument such as --password=abc.
func maskArgument(s string) string {
	if m := assignment.FindStringSubmatch(s); m != nil && secretName(strings.ReplaceAll(m[2], "-", "_")) {
		return m[1] + m[2] + "=" + Mask
	}
	return maskText(s)
}

// writeJSON writes a tree of mappings, lists and scalars.
func writeJSON(b *bytes.Buffer, n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i < len(n.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, n.Content[i])
			b.WriteByte(':')
			writeJSON(b, n.Content[i+1])
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, item)
		}
		b.WriteByte(']')
	default:
		if n.Tag == "!!int" || n.Tag == "!!bool" {
			b.WriteString(n.Value)
			return
		}
		text, err := json.Marshal(n.Value)
		if err != nil {
			panic(fmt.Sprintf("config: show: %v", err))
		}
		b.Write(text)
	}
}
