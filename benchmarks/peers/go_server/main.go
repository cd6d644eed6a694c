// A working server in Go's standard library: net/http, compress/gzip, encoding/json. It inflates, parses, validates,
// gives out random UUIDs, and stores nothing.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

const (
	maxBytes        = 2 << 20
	maxPayloadBytes = 4096
	maxTickets      = 100
)

type message struct {
	To               json.RawMessage `json:"to"`
	Title            *string         `json:"title"`
	Subtitle         *string         `json:"subtitle"`
	Body             *string         `json:"body"`
	Data             map[string]any  `json:"data"`
	Sound            any             `json:"sound"`
	TTL              *float64        `json:"ttl"`
	Expiration       *float64        `json:"expiration"`
	Priority         *string         `json:"priority"`
	Badge            *float64        `json:"badge"`
	ChannelID        *string         `json:"channelId"`
	CategoryID       *string         `json:"categoryId"`
	CollapseID       *string         `json:"collapseId"`
	Tag              *string         `json:"tag"`
	ThreadID         *string         `json:"threadId"`
	Icon             *string         `json:"icon"`
	MutableContent   *bool           `json:"mutableContent"`
	ContentAvailable *bool           `json:"_contentAvailable"`
	Interruption     *string         `json:"interruptionLevel"`
	RichContent      map[string]any  `json:"richContent"`
}

type ticket struct {
	Status  string            `json:"status"`
	ID      string            `json:"id,omitempty"`
	Message string            `json:"message,omitempty"`
	Details map[string]string `json:"details,omitempty"`
}

func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func isPushToken(token string) bool {
	return strings.HasSuffix(token, "]") &&
		(strings.HasPrefix(token, "ExponentPushToken[") || strings.HasPrefix(token, "ExpoPushToken["))
}

func refused(code, text string) ticket {
	return ticket{Status: "error", Message: text, Details: map[string]string{"error": code}}
}

func (m *message) ticket(to string) ticket {
	if !isPushToken(to) {
		return refused("DeviceNotRegistered", fmt.Sprintf("%q is not a push token", to))
	}
	size := 0
	for _, text := range []*string{m.Title, m.Body} {
		if text != nil {
			size += len(*text)
		}
	}
	if m.Data != nil {
		data, _ := json.Marshal(m.Data)
		size += len(data)
	}
	if size > maxPayloadBytes {
		return refused("MessageTooBig", "too big")
	}
	return ticket{Status: "ok", ID: uuid()}
}

func (m *message) recipients() ([]string, error) {
	if len(m.To) > 0 && m.To[0] == '[' {
		var many []string
		err := json.Unmarshal(m.To, &many)
		return many, err
	}
	one := make([]string, 1)
	err := json.Unmarshal(m.To, &one[0])
	return one, err
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

func bad(w http.ResponseWriter, text string) {
	answer(w, 400, map[string]any{"errors": []map[string]string{{"code": "VALIDATION_ERROR", "message": text}}})
}

func decode(body io.Reader) ([]message, bool, error) {
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, false, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if raw = bytes.TrimLeft(raw, " \t\r\n"); len(raw) > 0 && raw[0] == '[' {
		var many []message
		err := decoder.Decode(&many)
		return many, true, err
	}
	one := make([]message, 1)
	err = decoder.Decode(&one[0])
	return one, false, err
}

func send(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = http.MaxBytesReader(w, r.Body, maxBytes)
	if r.Header.Get("Content-Encoding") == "gzip" {
		inflated, err := gzip.NewReader(body)
		if err != nil {
			bad(w, err.Error())
			return
		}
		body = io.LimitReader(inflated, maxBytes)
	}
	messages, isList, err := decode(body)
	if err != nil {
		bad(w, err.Error())
		return
	}
	tickets := make([]ticket, 0, len(messages))
	for i := range messages {
		recipients, err := messages[i].recipients()
		if err != nil {
			bad(w, err.Error())
			return
		}
		for _, to := range recipients {
			tickets = append(tickets, messages[i].ticket(to))
		}
	}
	switch {
	case len(tickets) > maxTickets:
		answer(w, 413, map[string]any{"errors": []map[string]string{{"code": "PAYLOAD_TOO_LARGE"}}})
	case isList:
		answer(w, 200, map[string]any{"data": tickets})
	default:
		answer(w, 200, map[string]any{"data": tickets[0]})
	}
}

func main() {
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(send)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
