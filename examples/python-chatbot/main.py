"""Answers the command `/roll 2d6` of a chat: dice.

Mattermost, Rocket.Chat and Slack send a form with `token`, `text` and `user_name`. The variable
CHAT_TOKEN is the token that the chat shows where the command is made.
"""

import hmac
import os
import re
import secrets
from urllib.parse import parse_qs

HELP = "Say how many dice to roll and how many sides they have, such as `/roll 2d6`."
DICE_MAX, SIDES_MAX = 100, 1000


def main(context):
    form = {name: values[-1] for name, values in parse_qs(context.req.body_text).items()}
    token = os.environ.get("CHAT_TOKEN", "")
    if not token:
        context.error("Set the function's variable CHAT_TOKEN to the token of the command.")
        return context.res.text("The command is not set up.\n", 500)
    if not hmac.compare_digest(form.get("token", "").encode(), token.encode()):
        return context.res.text("The token is wrong.\n", 401)
    command = re.fullmatch(r"\s*(\d{1,3})d(\d{1,4})\s*", form.get("text", ""), re.ASCII)
    count, sides = map(int, command.groups()) if command else (0, 0)
    if not (1 <= count <= DICE_MAX and 1 <= sides <= SIDES_MAX):
        # Only the caller sees it.
        return context.res.json({"response_type": "ephemeral", "text": HELP})
    rolled = [1 + secrets.randbelow(sides) for _ in range(count)]
    context.log(f"{count}d{sides}:", rolled)
    user = form.get("user_name", "A player")
    text = f"{user} rolls {count}d{sides}: {', '.join(map(str, rolled))}, together {sum(rolled)}."
    return context.res.json({"response_type": "in_channel", "text": text})
