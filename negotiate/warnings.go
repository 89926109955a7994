package negotiate

import (
	"log/slog"
	"sync"
	"time"
)

// warnings are those of a server. They are limited, because anybody can cause them.
type warnings struct {
	now  func() time.Time
	mu   sync.Mutex
	paid time.Time // each takes a second, of which burst may be owed
	left int       // out, since the last one
}

const burst = 10

// next returns the level of the next one and what it has to say of those before it.
func (w *warnings) next() (slog.Level, []slog.Attr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if w.paid.Before(now) {
		w.paid = now
	}
	if w.paid.Sub(now) > (burst-1)*time.Second {
		w.left++
		return slog.LevelDebug, nil
	}
	w.paid = w.paid.Add(time.Second)
	var attrs []slog.Attr
	if w.left > 0 {
		attrs = append(attrs, slog.Int("left_out", w.left))
		w.left = 0
	}
	return slog.LevelWarn, attrs
}
