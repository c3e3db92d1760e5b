package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"primespark/coordinator/fsm"
	"primespark/coordinator/status"
	"primespark/shared/problem"
)

// The page's cookie. It names a token and is signed with the cluster's session
// key, so that every coordinator accepts it, and a log-in outlives the leader and the
// coordinator that took it. Nothing is kept of it: what it may do is looked up in the
// state each time, so revoking the token (POST /v1/tokens/{id}:revoke) ends all
// log-ins by it, and logging out makes the browser forget it.
const (
	cookieName  = "prime_spark_session"
	sessionLife = 12 * time.Hour
	maxCookie   = 256 // bytes
)

// sign makes a cookie's value: token id, end, and the signature over both.
func sign(key []byte, token string, end time.Time) string {
	text := token + "." + strconv.FormatInt(end.Unix(), 10)
	return text + "." + base64.RawURLEncoding.EncodeToString(mac(key, text))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("prime-spark session v1\n" + text))
	return h.Sum(nil)
}

// verify returns the token id of a cookie that was signed with key and has not
// ended.
func verify(key []byte, cookie string, now time.Time) (token string, ok bool) {
	if len(cookie) > maxCookie {
		return "", false
	}
	i := strings.LastIndexByte(cookie, '.')
	if i < 0 {
		return "", false
	}
	text := cookie[:i]
	sum, err := base64.RawURLEncoding.DecodeString(cookie[i+1:])
	if err != nil || !hmac.Equal(sum, mac(key, text)) {
		return "", false
	}
	token, end, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(end, 10, 64)
	return token, err == nil && now.Unix() < seconds
}

func (a *API) bySession(state fsm.State, cookie string, now time.Time) (Principal, bool) {
	id, ok := verify(a.cfg.SessionKey, cookie, now)
	if !ok {
		return Principal{}, false
	}
	t, ok := state.Tokens[id]
	return Principal{Actor: "token:" + t.Name, Role: Role(t.Access), Ambient: true, Session: true}, ok
}

func (a *API) showLogin(w http.ResponseWriter, r *call) error {
	return status.Show(w, r.Request, http.StatusOK, func(b io.Writer) error { return status.RenderLogin(b, "") })
}

func (a *API) login(w http.ResponseWriter, r *call) error {
	r.Body = http.MaxBytesReader(w, r.Body, 4<<10)
	if err := r.ParseForm(); err != nil {
		return problem.New(problem.Invalid, "Use the form at /login.", "The form cannot be read.")
	}
	if wait, ok := a.wrong.take(r.RemoteAddr, time.Now()); !ok {
		return &problem.Error{
			Code: problem.Busy, Detail: "Too many wrong tokens came from your network.", RetryAfter: wait,
			Remedy: fmt.Sprintf("Wait %.0f s and try again; programs send Authorization: Bearer TOKEN and need no log-in.", math.Ceil(wait.Seconds())),
		}
	}
	text := strings.TrimSpace(r.PostForm.Get("token"))
	state, _ := a.cfg.Group.State()
	if state.Cluster.Name == "" {
		a.wrong.give(r.RemoteAddr)
		return blank()
	}
	if _, _, ok := state.Authenticate(text); !ok {
		return status.Show(w, r.Request, http.StatusUnauthorized, func(b io.Writer) error {
			return status.RenderLogin(b, "This token is not valid in this cluster.")
		})
	}
	a.wrong.give(r.RemoteAddr)
	end := time.Now().Add(sessionLife)
	setCookie(w, r, sign(a.cfg.SessionKey, tokenID(state, text), end), int(sessionLife.Seconds()))
	http.Redirect(w, r.Request, "/", http.StatusSeeOther)
	return nil
}

// tokenID finds the token that a text, which is known to be valid, belongs to.
func tokenID(state fsm.State, text string) string {
	for id := range state.Tokens {
		if strings.Contains(text, "_"+id+"_") {
			return id
		}
	}
	return ""
}

func (a *API) logout(w http.ResponseWriter, r *call) error {
	setCookie(w, r, "", -1)
	http.Redirect(w, r.Request, "/login", http.StatusSeeOther)
	return nil
}

func setCookie(w http.ResponseWriter, r *call, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
}
