// Takes webhooks in GitHub's format: the body is signed with the variable WEBHOOK_SECRET.
import { createHmac, timingSafeEqual } from 'node:crypto';

const SIGNATURE = 'x-hub-signature-256';

export default async ({ req, res, log, error }) => {
  const secret = process.env.WEBHOOK_SECRET;
  if (!secret) {
    error("Set the function's variable WEBHOOK_SECRET to the secret of the webhook.");
    return res.text('The webhook is not set up.\n', 500);
  }
  // The signature is that of the bytes: parsing and writing JSON again would change them.
  const digest = createHmac('sha256', secret).update(req.bodyBinary).digest('hex');
  if (!equal(req.headers[SIGNATURE] ?? '', `sha256=${digest}`)) {
    return res.text('The signature is wrong.\n', 401);
  }
  const repository = repositoryOf(req);
  if (typeof repository !== 'string') {
    return res.text('The body names no repository.\n', 400);
  }
  const event = req.headers['x-github-event'] ?? '';
  log(event, 'of', repository);
  return res.json({ event, repository });
};

function equal(given, wanted) {
  const [one, other] = [Buffer.from(given), Buffer.from(wanted)];
  return one.length === other.length && timingSafeEqual(one, other);
}

function repositoryOf(req) {
  try {
    return req.bodyJson.repository.full_name;
  } catch {
    return undefined;
  }
}
