// Package handler takes webhooks in GitHub's format: the body is signed with the variable
// WEBHOOK_SECRET.
package handler

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"

	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

const signature = "x-hub-signature-256"

type delivery struct {
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
}

func Main(Context openruntimes.Context) openruntimes.Response {
	secret := os.Getenv("WEBHOOK_SECRET")
	if secret == "" {
		Context.Error("Set the function's variable WEBHOOK_SECRET to the secret of the webhook.")
		return answer(Context, "The webhook is not set up.\n", 500)
	}
	// The signature is that of the bytes: parsing and writing JSON again would change them.
	body := Context.Req.BodyBinary()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	wanted := "sha256=" + hex.EncodeToString(mac.Sum(nil))
	if !hmac.Equal([]byte(Context.Req.Headers[signature]), []byte(wanted)) {
		return answer(Context, "The signature is wrong.\n", 401)
	}
	var sent delivery
	if json.Unmarshal(body, &sent) != nil || sent.Repository.FullName == "" {
		return answer(Context, "The body names no repository.\n", 400)
	}
	event := Context.Req.Headers["x-github-event"]
	Context.Log(event, "of", sent.Repository.FullName)
	return Context.Res.Json(map[string]string{"event": event, "repository": sent.Repository.FullName})
}

func answer(Context openruntimes.Context, text string, status int) openruntimes.Response {
	return Context.Res.Text(text, Context.Res.WithStatusCode(status))
}
