package accesslog

import "bytes"

// TraceID is the trace id in the value of a traceparent field, 32 lower-case hex digits, or nil when the value is not
// valid (W3C Trace Context, 3.2). It is a part of value. A message with several such fields has none that is valid.
//
//	version "-" trace-id "-" parent-id "-" trace-flags, and from version 01 on maybe "-" and more
func TraceID(value []byte) []byte {
	const size = 55
	value = bytes.Trim(value, " \t")
	switch {
	case len(value) < size, value[2] != '-', value[35] != '-', value[52] != '-':
		return nil
	case !isHex(value[:2]), !isHex(value[3:35]), !isHex(value[36:52]), !isHex(value[53:size]):
		return nil
	case value[0] == 'f' && value[1] == 'f', isZero(value[3:35]), isZero(value[36:52]):
		return nil
	case len(value) > size && (value[0] == '0' && value[1] == '0' || value[size] != '-'):
		return nil
	}
	return value[3:35]
}

func isHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != '0' {
			return false
		}
	}
	return true
}
