package side

import "slices"

// Values are the figures of one run.
type Values map[string]float64

// Runs is what one program did in each round; nil where no run counted.
type Runs []Values

// List is one figure of every run that has it.
func (r Runs) List(key string) []float64 {
	var list []float64
	for _, v := range r {
		if f, ok := v[key]; ok {
			list = append(list, f)
		}
	}
	return list
}

// Median of one figure; 0 when nothing counted.
func (r Runs) Median(key string) float64 { return Median(r.List(key)) }

// Medians of every figure whose name begins with a prefix, under the name without it, and how many runs counted.
func (r Runs) Medians(prefix string) (all Values, counted int) {
	all = Values{}
	for _, v := range r {
		if v != nil {
			counted++
		}
		for key := range v {
			if len(key) >= len(prefix) && key[:len(prefix)] == prefix {
				all[key[len(prefix):]] = r.Median(key)
			}
		}
	}
	return all, counted
}

// To is the value of one program in a round, for Ratios.
func (r Runs) To(key string) func(round int) (float64, bool) {
	return func(round int) (float64, bool) {
		f, ok := r[round][key]
		return f, ok
	}
}

// Ratios are the values of a to those of b, each within one round; a value that is not positive has none.
func Ratios(a Runs, b func(round int) (float64, bool), key string) (list []float64) {
	for round, v := range a {
		f, ok := v[key]
		g, also := b(round)
		if ok && also && f > 0 && g > 0 {
			list = append(list, f/g)
		}
	}
	return list
}

// Ratio is the median of Ratios. It says why when there is none.
func Ratio(a Runs, b func(round int) (float64, bool), key string) (middle float64, why string) {
	list := Ratios(a, b, key)
	if len(list) == 0 {
		return 0, "no pair of runs counts"
	}
	return Median(list), ""
}

// Best is the best of several in a round: the highest, or the lowest.
func Best(peers []Runs, key string, highest bool) func(round int) (float64, bool) {
	return func(round int) (best float64, found bool) {
		for _, r := range peers {
			f, ok := r[round][key]
			if ok && (!found || (f > best) == highest) {
				best, found = f, true
			}
		}
		return best, found
	}
}

// Median of a list; 0 of an empty one.
func Median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(list))
	return (s[len(s)/2] + s[(len(s)-1)/2]) / 2
}
