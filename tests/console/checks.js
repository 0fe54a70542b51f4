// Own checks of a page, for machines without axe-core: every control has a name, ids are unique,
// tables have headers, and nothing is wider than the window.
() => {
	const problems = [];
	const shown = (element) => element.getClientRects().length > 0;
	for (const element of document.querySelectorAll("a, button, input, select, textarea, [role=img], [role=log]")) {
		const labels = [...(element.labels || [])].map((label) => label.textContent).join("");
		const name = element.getAttribute("aria-label") || labels || element.textContent || element.title;
		if (shown(element) && !name.trim()) problems.push(`no name: ${element.outerHTML.slice(0, 120)}`);
	}
	const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
	for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) problems.push(`id twice: ${id}`);
	for (const table of document.querySelectorAll("table, [role=table]"))
		if (!table.querySelector("th, [role=columnheader]")) problems.push("a table without headers");
	if (document.querySelectorAll("h1").length !== 1) problems.push("not one h1");
	const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
	if (wide > 0) problems.push(`${wide} px wider than the window`);
	return problems;
};
