// Uses an npm package: answers with the HTML of the Markdown in the body.
import { marked } from 'marked';

const SAMPLE = '# Markdown\n\nSend *Markdown* in the body, get **HTML** back.';

export default async ({ req, res }) => {
  const html = marked.parse(req.bodyText || SAMPLE);
  return res.text(html, 200, { 'content-type': 'text/html; charset=utf-8' });
};
