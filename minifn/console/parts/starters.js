// @ts-check
// The first code of a new function, by the family of its runtime.

const JAVASCRIPT = `export default async ({ req, res, log }) => {
  log(\`\${req.method} \${req.path}\`);
  return res.text("Hello!");
};
`;

/** Family -> its entrypoint and its code. @type {Record<string, [string, string]>} */
const STARTERS = {
	python: ["main.py", 'def main(context):\n    context.log(f"{context.req.method} {context.req.path}")\n    return context.res.text("Hello!")\n'],
	node: ["main.mjs", JAVASCRIPT],
	bun: ["main.js", JAVASCRIPT],
	deno: ["main.js", JAVASCRIPT],
	ruby: ["main.rb", 'def main(context)\n  context.log("#{context.req.method} #{context.req.path}")\n  context.res.text("Hello!")\nend\n'],
	php: [
		"index.php",
		'<?php\n\nreturn function ($context) {\n    $context->log($context->req->method . " " . $context->req->path);\n    return $context->res->text("Hello!");\n};\n',
	],
	static: ["index.html", "<!doctype html>\n<title>Hello</title>\n<h1>Hello!</h1>\n"],
};

/** Return the entrypoint and the first code of a runtime, null without one. @param {string} runtime */
export const starter = (runtime) => STARTERS[runtime.replace(/-[^-]*$/, "")] || null;
