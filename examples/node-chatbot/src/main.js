// Answers the command `/roll 2d6` of a chat: dice.
//
// Mattermost, Rocket.Chat and Slack send a form with `token`, `text` and `user_name`. The variable
// CHAT_TOKEN is the token that the chat shows where the command is made.

import { createHash, randomInt, timingSafeEqual } from "node:crypto";

const HELP = "Say how many dice to roll and how many sides they have, such as `/roll 2d6`.";
const DICE_MAX = 100;
const SIDES_MAX = 1000;

export default async ({ req, res, log, error }) => {
  const form = new URLSearchParams(req.bodyText);
  const token = process.env.CHAT_TOKEN ?? "";
  if (!token) {
    error("Set the function's variable CHAT_TOKEN to the token of the command.");
    return res.text("The command is not set up.\n", 500);
  }
  if (!isEqual(form.get("token") ?? "", token)) return res.text("The token is wrong.\n", 401);
  const [, count, sides] = /^\s*(\d{1,3})d(\d{1,4})\s*$/.exec(form.get("text") ?? "") ?? [];
  if (!isWithin(count, DICE_MAX) || !isWithin(sides, SIDES_MAX)) {
    // Only the caller sees it.
    return res.json({ response_type: "ephemeral", text: HELP });
  }
  const rolled = Array.from({ length: Number(count) }, () => 1 + randomInt(Number(sides)));
  const dice = `${Number(count)}d${Number(sides)}`;
  log(`${dice}:`, rolled);
  const total = rolled.reduce((sum, one) => sum + one, 0);
  const user = form.get("user_name") ?? "A player";
  const text = `${user} rolls ${dice}: ${rolled.join(", ")}, together ${total}.`;
  return res.json({ response_type: "in_channel", text });
};

function isWithin(text, most) {
  return Number(text) >= 1 && Number(text) <= most;
}

/** Compares texts of any length in a time that does not tell where they differ. */
function isEqual(one, other) {
  const digest = (text) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
