package lab

import (
	"strconv"
	"sync"
	"time"
)

// The states of a message the stand-in uses; the original has more (see messageStates).
const (
	messageProcessing = "PROCESSING"
	messageCompleted  = "COMPLETED"
	messageFailed     = "FAILED"
	messageCancelled  = "CANCELLED"
)

// messageStates are the words a filter may ask for.
var messageStates = []string{
	messageCompleted, messageProcessing, "RETRY", "ESCALATED", messageFailed, messageCancelled, "DISCARDED", "ABANDONED",
}

// maxMessages bounds the message log; the oldest entries go first.
const maxMessages = 1000

// message is one entry of the message processing log: one executed message.
type message struct {
	id, correlation, flow, status string
	start, end                    time.Time
}

// account counts what a tenant is asked and what it executes. Only an executed message is billed: a request that ends
// with 401, 403, 404, 405 or 503, or that fetches a token, is none.
type account struct {
	now   func() time.Time
	quota int

	mu       sync.Mutex
	since    time.Time
	requests uint64
	executed uint64
	byStatus map[int]uint64
	second   window
	minute   window
	month    int // year*12 + month of inMonth
	inMonth  int
	log      []*message // ring
	next     int
}

func newAccount(quota int, now func() time.Time) *account {
	return &account{
		now: now, quota: quota, since: now(), byStatus: map[int]uint64{},
		second: window{width: 1, count: make([]uint64, 60)}, minute: window{width: 60, count: make([]uint64, 24*60)},
	}
}

// asked counts one request.
func (a *account) asked() {
	a.mu.Lock()
	a.requests++
	a.mu.Unlock()
}

// answered counts one answer by its status.
func (a *account) answered(status int) {
	a.mu.Lock()
	a.byStatus[status]++
	a.mu.Unlock()
}

// begin opens the log of one executed message.
func (a *account) begin(flow string) *message {
	now := a.now()
	m := &message{id: newMessageID(now), correlation: newUUID(), flow: flow, status: messageProcessing, start: now}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.executed++
	a.second.add(now)
	a.minute.add(now)
	a.turn(now)
	a.inMonth++
	if len(a.log) < maxMessages {
		a.log = append(a.log, m)
		return m
	}
	a.log[a.next] = m
	a.next = (a.next + 1) % maxMessages
	return m
}

// finish closes it.
func (a *account) finish(m *message, status string) {
	now := a.now()
	a.mu.Lock()
	m.status, m.end = status, now
	a.mu.Unlock()
}

// turn wants mu held: a new month starts at zero.
func (a *account) turn(now time.Time) {
	now = now.UTC()
	if month := now.Year()*12 + int(now.Month()); month != a.month {
		a.month, a.inMonth = month, 0
	}
}

// licensed reports whether the quota is not used up.
func (a *account) licensed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(a.now())
	return a.quota == 0 || a.inMonth < a.quota
}

// messages returns copies of the entries in one state (all for ""), newest first.
func (a *account) messages(status string) []message {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]message, 0, len(a.log))
	for i := range a.log {
		m := a.log[(a.next+len(a.log)-1-i)%len(a.log)]
		if status == "" || m.status == status {
			list = append(list, *m)
		}
	}
	return list
}

// Stats is what GET /lab/stats shows. Messages are executed messages.
type Stats struct {
	Region         string            `json:"region"`
	Since          time.Time         `json:"since"`
	Requests       uint64            `json:"requests"`       // all but /lab/*
	Executed       uint64            `json:"executed"`       // messages since the start
	PerMinute      uint64            `json:"perMinute"`      // messages in the last 60 s
	PerDay         uint64            `json:"perDay"`         // messages in the last 24 h
	ForecastPerDay uint64            `json:"forecastPerDay"` // messages a day at the rate of the last minute
	Quota          int               `json:"quota"`          // messages per calendar month (UTC), 0: none
	QuotaUsed      int               `json:"quotaUsed"`
	QuotaLeft      *int              `json:"quotaLeft"` // null without a quota; never below 0
	Answers        map[string]uint64 `json:"answers"`   // by status code
}

func (a *account) stats(region string) Stats {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(now)
	s := Stats{
		Region: region, Since: a.since, Requests: a.requests, Executed: a.executed, PerMinute: a.second.sum(now),
		PerDay: a.minute.sum(now), Quota: a.quota, QuotaUsed: a.inMonth, Answers: map[string]uint64{},
	}
	s.ForecastPerDay = s.PerMinute * 24 * 60
	if a.quota > 0 {
		left := max(0, a.quota-a.inMonth)
		s.QuotaLeft = &left
	}
	for status, n := range a.byStatus {
		s.Answers[strconv.Itoa(status)] = n
	}
	return s
}

// window counts events of the recent past in a ring of buckets, each width seconds wide.
type window struct {
	width int64
	count []uint64
	last  int64 // number of the newest bucket since the epoch
}

// forward drops the buckets that are too old. A clock that goes back changes nothing.
func (w *window) forward(now time.Time) {
	n := now.Unix() / w.width
	size := int64(len(w.count))
	for b := max(w.last+1, n-size+1); b <= n; b++ {
		w.count[b%size] = 0
	}
	w.last = max(w.last, n)
}

func (w *window) add(now time.Time) {
	w.forward(now)
	w.count[w.last%int64(len(w.count))]++
}

func (w *window) sum(now time.Time) uint64 {
	w.forward(now)
	var total uint64
	for _, n := range w.count {
		total += n
	}
	return total
}
