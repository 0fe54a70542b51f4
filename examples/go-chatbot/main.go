// Package handler answers the command `/roll 2d6` of a chat: dice.
//
// Mattermost, Rocket.Chat and Slack send a form with `token`, `text` and `user_name`. The variable
// CHAT_TOKEN is the token that the chat shows where the command is made.
package handler

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/open-runtimes/types-for-go/v4/openruntimes"
)

const (
	help     = "Say how many dice to roll and how many sides they have, such as `/roll 2d6`."
	diceMax  = 100
	sidesMax = 1000
)

var command = regexp.MustCompile(`^\s*(\d{1,3})d(\d{1,4})\s*$`)

func Main(Context openruntimes.Context) openruntimes.Response {
	token := os.Getenv("CHAT_TOKEN")
	if token == "" {
		Context.Error("Set the function's variable CHAT_TOKEN to the token of the command.")
		return Context.Res.Text("The command is not set up.\n", Context.Res.WithStatusCode(500))
	}
	form, err := url.ParseQuery(Context.Req.BodyText())
	if err != nil || subtle.ConstantTimeCompare([]byte(form.Get("token")), []byte(token)) != 1 {
		return Context.Res.Text("The token is wrong.\n", Context.Res.WithStatusCode(401))
	}
	count, sides := dice(form.Get("text"))
	if count < 1 || count > diceMax || sides < 1 || sides > sidesMax {
		// Only the caller sees it.
		return Context.Res.Json(map[string]string{"response_type": "ephemeral", "text": help})
	}
	rolled, total := make([]string, count), int64(0)
	for index := range rolled {
		number, err := rand.Int(rand.Reader, big.NewInt(sides))
		if err != nil {
			panic(err)
		}
		total += number.Int64() + 1
		rolled[index] = strconv.FormatInt(number.Int64()+1, 10)
	}
	user := form.Get("user_name")
	if user == "" {
		user = "A player"
	}
	numbers := strings.Join(rolled, ", ")
	Context.Log(fmt.Sprintf("%dd%d:", count, sides), numbers)
	text := fmt.Sprintf("%s rolls %dd%d: %s, together %d.", user, count, sides, numbers, total)
	return Context.Res.Json(map[string]string{"response_type": "in_channel", "text": text})
}

// dice returns the two numbers of a command, zeros for another text.
func dice(text string) (count, sides int64) {
	found := command.FindStringSubmatch(text)
	if found == nil {
		return 0, 0
	}
	count, _ = strconv.ParseInt(found[1], 10, 64)
	sides, _ = strconv.ParseInt(found[2], 10, 64)
	return count, sides
}
