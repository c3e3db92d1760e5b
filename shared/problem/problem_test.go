package problem_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"primespark/shared/problem"
)

func ExampleWrite() {
	w := httptest.NewRecorder()
	problem.Write(w, &problem.Error{
		Code:       problem.NoCapacity,
		Detail:     "No node with yolov8n has room.",
		Remedy:     "Try again in a few seconds.",
		RetryAfter: 1500 * time.Millisecond,
		Err:        errors.New("pi-1: connection refused"), // for the log only
	})
	fmt.Println(w.Code, w.Header().Get("Retry-After"), w.Header().Get("X-Error-Code"))
	fmt.Print(w.Body)
	// Output:
	// 503 2 no_capacity
	// {"error":{"code":"no_capacity","detail":"No node with yolov8n has room.","remedy":"Try again in a few seconds."}}
}

func TestWriteHidesWhatIsNoProblem(t *testing.T) {
	w := httptest.NewRecorder()
	problem.Write(w, errors.New("dial 10.0.0.7: password=hunter2"))
	if w.Code != 500 || w.Body.String() != `{"error":{"code":"unexpected","detail":"Something unexpected happened on this node.","remedy":"Its log says why; try again or report it."}}`+"\n" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestOfKnowsALargeBody(t *testing.T) {
	e := problem.Of(fmt.Errorf("read: %w", &http.MaxBytesError{Limit: 100}))
	if e.Code != problem.TooLarge || e.Code.Status() != 413 {
		t.Errorf("got %v", e)
	}
}

func TestReadGivesBackWhatWriteSent(t *testing.T) {
	for _, code := range []problem.Code{problem.Invalid, problem.StaleLease, problem.Busy} {
		w := httptest.NewRecorder()
		sent := &problem.Error{Code: code, Detail: "What.", Remedy: "Do.", RetryAfter: 3 * time.Second}
		problem.Write(w, sent)
		got := problem.Read(w.Code, w.Header(), w.Body.Bytes())
		if got.Code != code || got.Detail != "What." || got.Remedy != "Do." {
			t.Errorf("%s: got %+v", code, got)
		}
		if code == problem.Busy && got.RetryAfter != 3*time.Second {
			t.Errorf("RetryAfter = %v, want 3s", got.RetryAfter)
		}
	}
}

func TestReadForeignAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		want   problem.Error
	}{
		"protocol form": {404, `{"error":"model m is unknown"}`, problem.Error{Code: problem.NotFound, Detail: "model m is unknown"}},
		"html":          {502, `<html>`, problem.Error{Code: problem.Unreachable, Detail: "The server answered 502 Bad Gateway."}},
		"odd error":     {418, `{"error":[1]}`, problem.Error{Code: problem.Invalid, Detail: "The server answered 418 I'm a teapot."}},
		"empty":         {500, ``, problem.Error{Code: problem.Unexpected, Detail: "The server answered 500 Internal Server Error."}},
	} {
		t.Run(name, func(t *testing.T) {
			got := problem.Read(test.status, http.Header{}, []byte(test.body))
			if *got != test.want {
				t.Errorf("got %+v, want %+v", *got, test.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(404, []byte(`{"error":{"code":"x","detail":"y"}}`))
	f.Add(500, []byte(`{"error":"y"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if e := problem.Read(status, http.Header{}, body); e.Detail == "" || e.Code == "" {
			t.Errorf("%+v says nothing", e)
		}
	})
}
