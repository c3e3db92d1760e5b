package wire

import (
	"context"

	"primespark/shared/identity"
)

// Renew has a coordinator sign a fresh key of the node whose certificate the
// client shows.
func (c *Client) Renew(ctx context.Context, r identity.RenewRequest) (b identity.RenewResponse, err error) {
	err = c.post(ctx, identity.RenewPath, r, &b)
	return b, err
}
