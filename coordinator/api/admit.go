package api

import (
	"cmp"
	"net"
	"net/http"
	"slices"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

func (a *API) createJoinCode(w http.ResponseWriter, r *call) error {
	var in wire.JoinCodeRequest
	if err := decode(r, &in); err != nil {
		return err
	}
	life, err := codeTTL(in.TTL)
	if err != nil {
		return err
	}
	if !in.Role.Valid() {
		return problem.New(problem.Invalid, `Give "role": "agent" or "coordinator".`, "A node cannot have the role %.32q.", in.Role)
	}
	if in.Role == fleet.Coordinator {
		if err := adminOnly(r.who, "let a coordinator join"); err != nil {
			return err
		}
	}
	ctx, cancel := bounded(r)
	defer cancel()
	text, made, err := a.cfg.Enroller.NewCode(ctx, r.who.Actor, CodeSpec{Role: in.Role, TTL: life, Uses: in.Uses, Rejoin: in.Rejoin, Hold: in.Hold, Seed: a.seed(r), Call: r.once})
	if err != nil {
		return err
	}
	return answer(w, wire.JoinCodeBody{ID: made.ID, Role: made.Role, Code: text, Expires: made.Expires, Uses: made.Uses})
}

// codeTTL reads how long a join code lives; 0 leaves it to the enroller.
func codeTTL(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, problem.New(problem.Invalid, "Give a duration such as 15m or 24h.", "The ttl %.32q is not a duration.", text)
	}
	return d, nil
}

func (a *API) join(w http.ResponseWriter, r *call) error {
	var in identity.JoinRequest
	if err := decode(r, &in); err != nil {
		return err
	}
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr // of a listener without ports
	}
	ctx, cancel := bounded(r)
	defer cancel()
	out, err := a.cfg.Enroller.Join(ctx, ip, in)
	if err != nil {
		return err
	}
	return answer(w, out)
}

func (a *API) createToken(w http.ResponseWriter, r *call) error {
	var in wire.TokenRequest
	if err := decode(r, &in); err != nil {
		return err
	}
	text, command := a.seed(r).Token(in.Name, fsm.Access(in.Role))
	var made fsm.Token
	if err := a.propose(r, command, &made); err != nil {
		return err
	}
	return answer(w, wire.TokenBody{ID: made.ID, Name: made.Name, Role: string(made.Access), Token: text})
}

func (a *API) tokens(w http.ResponseWriter, r *call) error {
	s, err := a.read(w, r)
	if err != nil {
		return err
	}
	b := wire.TokensBody{Tokens: []wire.TokenRow{}}
	for _, t := range s.Tokens {
		b.Tokens = append(b.Tokens, row(t))
	}
	slices.SortFunc(b.Tokens, func(x, y wire.TokenRow) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID)) })
	return answer(w, b)
}

func (a *API) revokeToken(w http.ResponseWriter, r *call) error {
	if err := empty(r); err != nil {
		return err
	}
	var t fsm.Token
	if err := a.propose(r, fsm.TokenRevoke{ID: r.PathValue("id")}, &t); err != nil {
		return err
	}
	return answer(w, row(t))
}

func row(t fsm.Token) wire.TokenRow {
	return wire.TokenRow{ID: t.ID, Name: t.Name, Role: string(t.Access), Created: t.Created}
}
