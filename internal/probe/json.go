package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"jurymast/internal/profile"
)

// JSONRule is one value in a JSON body, named by keys and list positions: checks[0].state.
type JSONRule struct {
	path   string
	equals string
	steps  []jsonStep
}

// jsonStep goes one level down: by key, or by position when key is "".
type jsonStep struct {
	key string
	at  int
}

// jsonRuleOf reads the path. No path is no rule.
func jsonRuleOf(want profile.ExpectJSON) (*JSONRule, error) {
	if want.Path == "" {
		if want.Equals != "" {
			return nil, errors.New("monitor.expect.json: equals without a path; name the value, for example checks[0].state")
		}
		return nil, nil //nolint:nilnil // no rule is a valid answer
	}
	rule := &JSONRule{path: want.Path, equals: want.Equals}
	for i, word := range strings.Split(want.Path, ".") {
		key, positions, listed := strings.Cut(word, "[")
		if key == "" && (i > 0 || !listed) {
			return nil, pathFault(want.Path)
		}
		if key != "" {
			rule.steps = append(rule.steps, jsonStep{key: key})
		}
		if !listed {
			continue
		}
		inner, closed := strings.CutSuffix(positions, "]")
		if !closed {
			return nil, pathFault(want.Path)
		}
		for number := range strings.SplitSeq(inner, "][") {
			at, err := strconv.ParseUint(number, 10, 31)
			if err != nil {
				return nil, pathFault(want.Path)
			}
			rule.steps = append(rule.steps, jsonStep{at: int(at)})
		}
	}
	return rule, nil
}

func pathFault(path string) error {
	return fmt.Errorf("monitor.expect.json.path %q is no path; write keys and positions like checks[0].state", path)
}

// match judges the body; missing says in an operator's words why it does not hold. A value that is complete counts
// even when more may follow.
func (r *JSONRule) match(body []byte) (missing string, ok bool) {
	var value json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&value); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "is no JSON: it ends too early", false
		}
		return "is no JSON: " + err.Error(), false
	}
	for _, step := range r.steps {
		next, found := step.down(value)
		if !found {
			return fmt.Sprintf("has no %s in its JSON", r.path), false
		}
		value = next
	}
	got := plainJSON(value)
	if got == r.equals {
		return "", true
	}
	return fmt.Sprintf("says %s is %s, expected %q", r.path, clip(string(value)), r.equals), false
}

func (s jsonStep) down(value json.RawMessage) (json.RawMessage, bool) {
	if s.key != "" {
		var object map[string]json.RawMessage
		if json.Unmarshal(value, &object) != nil {
			return nil, false
		}
		next, ok := object[s.key]
		return next, ok
	}
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil || s.at >= len(list) {
		return nil, false
	}
	return list[s.at], true
}

// plainJSON is a text without its quotes, and everything else as JSON writes it without blanks.
func plainJSON(value json.RawMessage) string {
	var text string
	if len(value) > 0 && value[0] == '"' && json.Unmarshal(value, &text) == nil {
		return text
	}
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return string(value)
	}
	return b.String()
}

// clip keeps a reason short.
func clip(text string) string {
	const limit = 80
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}
