// @ts-check
// Every setting of a function, each with its rule's message; a schedule shows its next runs.
import { call, get } from "../api.js";
import { confirmed } from "../parts/dialogs.js";
import { announce, h, put } from "../parts/dom.js";
import { check, choose, field, lines, submits, text, ticked } from "../parts/form.js";
import { clock, day, utc } from "../parts/words.js";

/** @param {Page} page @param {Json} func */
export default async function settings({ main, signal, go, reload }, func) {
	const [{ runtimes }, { specifications }] = await Promise.all([get("functions/runtimes", {}, signal), get("functions/specifications", {}, signal)]);
	const input = (name, value, /** @type {any} */ more = {}) => h("input", { name, value, spellcheck: "false", ...more });
	const area = (name, value, rows = 2) => {
		const control = h("textarea", { name, rows, spellcheck: "false" });
		control.value = value.join("\n");
		return control;
	};
	const known = runtimes.some((one) => one.$id === func.runtime) ? [] : [[func.runtime, `${func.runtime} (not on this machine)`]];
	const sizes = specifications.filter((one) => one.enabled).map((one) => [one.slug, `${one.cpus} CPU, ${one.memory} MB`]);
	const schedule = input("schedule", func.schedule, { placeholder: "*/5 * * * *" });
	const runs = h("span");
	const form = h(
		"form",
		{ class: "form" },
		field("Name", input("name", func.name)),
		field("Description", area("description", [func.description || ""])),
		h(
			"div",
			{ class: "split" },
			field("Runtime", choose("runtime", [...known, ...runtimes.map((one) => [one.$id, `${one.name} ${one.version}`])], func.runtime)),
			field("Specification", choose("runtimeSpecification", sizes, func.runtimeSpecification)),
		),
		h(
			"div",
			{ class: "split" },
			field("Entrypoint", input("entrypoint", func.entrypoint)),
			field("Timeout in seconds", input("timeout", func.timeout, { type: "number", min: 1 })),
		),
		field("Build commands", input("commands", func.commands)),
		field("Schedule", schedule, { hint: runs }),
		field("Events", area("events", func.events), { hint: "One a line: users.*.create" }),
		field("Who may execute it", area("execute", func.execute), {
			hint: "One a line: any, users, user:ID, team:ID. Empty for API keys alone.",
		}),
		field("Scopes of its own key", area("scopes", func.scopes), {
			hint: "One a line: what the function may do with this API.",
		}),
		check("enabled", "Enabled", func.enabled),
		check("logging", "Keep logs and errors", func.logging),
		h("div", {}, h("button", { class: "primary" }, "Save")),
	);
	schedule.addEventListener("input", () => showRuns(runs, schedule.value, signal));
	submits(form, async () => {
		await call("PUT", `functions/${func.$id}`, { json: { ...kept(func), ...changed(form) } });
		announce("Saved");
		reload();
	});
	const remove = h(
		"button",
		{
			class: "danger",
			onclick: () =>
				confirmed(
					{
						title: `Delete ${func.name}?`,
						text: "Its deployments, variables and executions are removed with it.",
						action: "Delete",
						type: func.$id,
					},
					async () => (await call("DELETE", `functions/${func.$id}`), go("./")),
				),
		},
		"Delete the function",
	);
	put(
		main,
		form,
		h(
			"section",
			{ class: "card end", "aria-label": "Delete" },
			h("h2", {}, "Delete"),
			h("p", { class: "muted" }, "Nothing of it can be brought back."),
			remove,
		),
	);
	showRuns(runs, schedule.value, signal);
}

/** Settings that this page does not show and an update would reset. @param {Json} func */
function kept(func) {
	const names = [
		"installationId",
		"providerRepositoryId",
		"providerBranch",
		"providerSilentMode",
		"providerRootDirectory",
		"providerBranches",
		"providerPaths",
		"buildSpecification",
		"deploymentRetention",
		"interval",
	];
	return Object.fromEntries(names.filter((name) => func[name] !== undefined && func[name] !== null).map((name) => [name, func[name]]));
}

/** @param {HTMLFormElement} form */
function changed(form) {
	const texts = Object.fromEntries(
		["name", "description", "runtime", "entrypoint", "commands", "schedule", "runtimeSpecification"].map((name) => [name, text(form, name)]),
	);
	const lists = Object.fromEntries(["events", "execute", "scopes"].map((name) => [name, lines(form, name)]));
	return {
		...texts,
		...lists,
		timeout: Number(text(form, "timeout")),
		enabled: ticked(form, "enabled"),
		logging: ticked(form, "logging"),
	};
}

/** Show the next runs of a schedule in this place's time and in UTC. @param {HTMLElement} place @param {string} expression @param {AbortSignal} signal */
export async function showRuns(place, expression, signal) {
	if (!expression.trim()) return put(place, "Minute, hour, day, month, weekday, in UTC. Empty for none.");
	try {
		const { next } = await get("minifn/cron", { expression }, signal);
		put(
			place,
			"Next: ",
			next.map((at) => h("time", { datetime: at, title: `${utc(at)} UTC`, class: "run" }, `${day(at)} ${clock(at)}`)),
		);
	} catch (error) {
		if (!signal.aborted) put(place, h("span", { class: "bad" }, /** @type {Error} */ (error).message));
	}
}
