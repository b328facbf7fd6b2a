package etf

import "strconv"

// Version is the byte before a term that stands alone.
const Version = 131

// Tags of the external term format. Spec: https://www.erlang.org/doc/apps/erts/erl_ext_dist.html
const (
	tagRecord         = 67  // RECORD_EXT, OTP 29
	tagDistHeader     = 68  // after 131 only: distribution header
	tagNewFloat       = 70  // NEW_FLOAT_EXT
	tagBitBinary      = 77  // BIT_BINARY_EXT
	tagCompressed     = 80  // after 131 only: zlib
	tagCacheRef       = 82  // ATOM_CACHE_REF
	tagNewPid         = 88  // NEW_PID_EXT
	tagNewPort        = 89  // NEW_PORT_EXT
	tagNewerReference = 90  // NEWER_REFERENCE_EXT
	tagSmallInteger   = 97  // SMALL_INTEGER_EXT
	tagInteger        = 98  // INTEGER_EXT
	tagFloat          = 99  // FLOAT_EXT, minor_version 0
	tagAtom           = 100 // ATOM_EXT, Latin-1
	tagReference      = 101 // REFERENCE_EXT
	tagPort           = 102 // PORT_EXT
	tagPid            = 103 // PID_EXT
	tagSmallTuple     = 104 // SMALL_TUPLE_EXT
	tagLargeTuple     = 105 // LARGE_TUPLE_EXT
	tagNil            = 106 // NIL_EXT
	tagString         = 107 // STRING_EXT
	tagList           = 108 // LIST_EXT
	tagBinary         = 109 // BINARY_EXT
	tagSmallBig       = 110 // SMALL_BIG_EXT
	tagLargeBig       = 111 // LARGE_BIG_EXT
	tagNewFun         = 112 // NEW_FUN_EXT
	tagExport         = 113 // EXPORT_EXT
	tagNewReference   = 114 // NEW_REFERENCE_EXT
	tagSmallAtom      = 115 // SMALL_ATOM_EXT, Latin-1
	tagMap            = 116 // MAP_EXT
	tagAtomUTF8       = 118 // ATOM_UTF8_EXT
	tagSmallAtomUTF8  = 119 // SMALL_ATOM_UTF8_EXT
	tagV4Port         = 120 // V4_PORT_EXT
	tagLocal          = 121 // LOCAL_EXT
)

var tagNames = map[byte]string{
	tagRecord: "RECORD_EXT", tagDistHeader: "distribution header", tagNewFloat: "NEW_FLOAT_EXT", tagBitBinary: "BIT_BINARY_EXT",
	tagCompressed: "COMPRESSED", tagCacheRef: "ATOM_CACHE_REF", tagNewPid: "NEW_PID_EXT", tagNewPort: "NEW_PORT_EXT",
	tagNewerReference: "NEWER_REFERENCE_EXT", tagSmallInteger: "SMALL_INTEGER_EXT", tagInteger: "INTEGER_EXT",
	tagFloat: "FLOAT_EXT", tagAtom: "ATOM_EXT", tagReference: "REFERENCE_EXT", tagPort: "PORT_EXT", tagPid: "PID_EXT",
	tagSmallTuple: "SMALL_TUPLE_EXT", tagLargeTuple: "LARGE_TUPLE_EXT", tagNil: "NIL_EXT", tagString: "STRING_EXT",
	tagList: "LIST_EXT", tagBinary: "BINARY_EXT", tagSmallBig: "SMALL_BIG_EXT", tagLargeBig: "LARGE_BIG_EXT",
	tagNewFun: "NEW_FUN_EXT", tagExport: "EXPORT_EXT", tagNewReference: "NEW_REFERENCE_EXT",
	tagSmallAtom: "SMALL_ATOM_EXT", tagMap: "MAP_EXT", tagAtomUTF8: "ATOM_UTF8_EXT",
	tagSmallAtomUTF8: "SMALL_ATOM_UTF8_EXT", tagV4Port: "V4_PORT_EXT", tagLocal: "LOCAL_EXT",
}

func tagName(tag byte) string {
	if name, ok := tagNames[tag]; ok {
		return name
	}
	return "tag " + strconv.Itoa(int(tag))
}
