package profile

import "reflect"

// DifferingKeys lists the keys, as paths below at, under which two values of one configured type differ: the deepest
// mapping with fixed keys tells its key, a list or a map only its own.
func DifferingKeys[T any](at string, was, is T) []string {
	return differing(at, reflect.ValueOf(was), reflect.ValueOf(is))
}

func differing(at string, was, is reflect.Value) (out []string) {
	if reflect.DeepEqual(was.Interface(), is.Interface()) {
		return nil
	}
	if was.Kind() == reflect.Struct {
		for i := range was.NumField() {
			f := was.Type().Field(i)
			switch key := f.Tag.Get("yaml"); {
			case !f.IsExported() || key == "" || key == "-":
			case key == inline:
				out = append(out, differing(at, was.Field(i), is.Field(i))...)
			default:
				out = append(out, differing(at+"."+key, was.Field(i), is.Field(i))...)
			}
		}
	}
	if len(out) == 0 {
		return []string{at} // no key of its own tells the difference
	}
	return out
}
