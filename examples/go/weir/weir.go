// Package weir has what the examples share: requests that are repeated until there is a response, and a session that lives as long as its
// program.
package weir

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Headers of a request; more than the standard library's type is not needed.
type Headers map[string]string

// Problem is why the server has refused a request: Code is for programs, Detail for people.
type Problem struct {
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	Retryable bool   `json:"retryable"`
}

func (problem *Problem) Error() string { return problem.Code + ": " + problem.Detail }

// IsProblem says whether an error is a problem with this code.
func IsProblem(err error, code string) bool {
	var problem *Problem
	return errors.As(err, &problem) && problem.Code == code
}

// URL is that of a broker, from WEIR_URL.
func URL() string {
	if given := os.Getenv("WEIR_URL"); given != "" {
		return given
	}
	return "http://localhost:7070"
}

// Authorization has the token of WEIR_TOKEN, if there is one.
func Authorization() http.Header {
	header := http.Header{}
	if token := os.Getenv("WEIR_TOKEN"); token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return header
}

// Send sends a request once: bytes go as they are, anything else but nil as JSON. It decodes the body of the response into out.
func Send(ctx context.Context, method, path string, headers Headers, body, out any) (http.Header, error) {
	request, err := newRequest(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 400 {
		problem := &Problem{Detail: response.Status, Retryable: response.StatusCode >= 500}
		_ = json.Unmarshal(text, problem) // A proxy may say something else.
		return nil, problem
	}
	if out != nil && len(text) > 0 {
		err = json.Unmarshal(text, out)
	}
	return response.Header, err
}

func newRequest(ctx context.Context, method, path string, body any) (*http.Request, error) {
	content, isRaw := body.([]byte)
	if body != nil && !isRaw {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, URL()+"/v1"+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	request.Header = Authorization()
	if body != nil && !isRaw {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, nil
}

// Request does the same until there is a response. The key makes the repeats of a write one write.
func Request(ctx context.Context, method, path string, headers Headers, body, out any) (http.Header, error) {
	all := Headers{}
	if method != http.MethodGet {
		all["Idempotency-Key"] = rand.Text()
	}
	for name, value := range headers {
		all[name] = value
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, 40*time.Second)
		header, err := Send(attempt, method, path, all, body, out)
		cancel()
		var problem *Problem
		if err == nil || ctx.Err() != nil || errors.As(err, &problem) && !problem.Retryable {
			return header, err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// Node is the path of a node in a URL, with a query such as "view=children".
func Node(path, query string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return "/nodes" + strings.Join(parts, "/") + "?" + query
}

// Session is renewed in the background. Its context is done before it can have ended, as far as its program runs.
type Session struct {
	context.Context
	Headers  Headers
	ttl      time.Duration
	deadline time.Time
	lose     context.CancelFunc
}

// NewSession creates a session that ends with ctx, or by End.
func NewSession(ctx context.Context) (*Session, error) {
	sent := time.Now()
	var created struct {
		Session string `json:"session"`
		TTLMs   int    `json:"ttlMs"`
	}
	if _, err := Request(ctx, "POST", "/sessions", nil, map[string]string{"ttl": "10s"}, &created); err != nil {
		return nil, err
	}
	ttl := time.Duration(created.TTLMs) * time.Millisecond
	alive, lose := context.WithCancel(ctx)
	session := &Session{alive, Headers{"Weir-Session": created.Session}, ttl, sent.Add(ttl), lose}
	go session.renew()
	return session, nil
}

func (session *Session) renew() {
	defer session.lose()
	pause := session.ttl / 3
	for {
		select {
		case <-session.Done():
			return
		case <-time.After(pause):
		}
		sent := time.Now()
		left := session.deadline.Add(-session.ttl / 5).Sub(sent)
		if left <= 0 {
			return
		}
		attempt, cancel := context.WithTimeout(session, min(left, session.ttl/3))
		_, err := Send(attempt, "PUT", "/sessions/self", session.Headers, nil, nil)
		cancel()
		pause = session.ttl / 10
		if err == nil {
			// Counted from the sending: the server cannot have begun earlier.
			session.deadline, pause = sent.Add(session.ttl), session.ttl/3
		} else if IsProblem(err, "SESSION_EXPIRED") {
			return
		}
	}
}

// End ends the session, and so deletes its ephemeral nodes at once.
func (session *Session) End() {
	session.lose()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	// Without a response it ends by its time to live.
	_, _ = Send(ctx, "DELETE", "/sessions/self", session.Headers, nil, nil)
}

// Exit ends the program with a message, unless it was asked to end.
func Exit(ctx context.Context, err error) {
	if ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
