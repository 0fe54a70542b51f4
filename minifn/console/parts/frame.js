// @ts-check
// The frame of every page: navigation, who is signed in, the offline bar, the theme.
import { events, knock } from "../api.js";
import { h, icon, put } from "./dom.js";

/** Address, name and second key after `g` of each page in the navigation. */
export const PLACES = /** @type {const} */ ([
	["./", "Functions", "f"],
	["executions", "Executions", "e"],
	["schedule", "Schedule", "s"],
	["usage", "Usage", "u"],
	["health", "Health", "h"],
	["nodes", "Nodes", "n"],
	["wall", "Wall", "w"],
	["keys", "Keys", "k"],
]);
const THEMES = ["system", "light", "dark"];
const HALF = "M8 1.500a6.500 6.500 0 1 0 0 13zM8 1.500a6.500 6.500 0 0 1 0 13";

/** Use the theme that was chosen before, else the system's. */
export function applyTheme() {
	const theme = localStorage.getItem("theme");
	if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
	else delete document.documentElement.dataset.theme;
}

function nextTheme() {
	const now = localStorage.getItem("theme") || "system";
	const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
	localStorage.setItem("theme", next);
	applyTheme();
	return next;
}

/**
 * Build the frame around `main`.
 * @param {Session} session @param {HTMLElement} main @param {{signOut: () => void, help: () => void}} actions
 */
export function frame(session, main, actions) {
	const places = PLACES.filter(([href]) => (session.operator || href !== "keys") && (session.cluster || href !== "nodes"));
	const links = places.map(([href, name]) => h("a", { href }, name));
	const theme = h("button", { class: "quiet", title: "Theme", "aria-label": "Theme: system" }, icon(HALF));
	theme.addEventListener("click", () => theme.setAttribute("aria-label", `Theme: ${nextTheme()}`));
	theme.setAttribute("aria-label", `Theme: ${localStorage.getItem("theme") || "system"}`);
	const place = h(
		"span",
		{ class: "where" },
		h("span", {}, session.keyName ? `key ${session.keyName}` : `project ${session.project}`),
		h("span", { title: "sandbox" }, session.engine),
		live(),
	);
	const header = h(
		"header",
		{ class: "top" },
		h("button", { class: "skip", onclick: () => main.focus() }, "Skip to the content"),
		h("a", { class: "brand", href: "./", title: `minifn ${session.version}` }, "minifn"),
		h("nav", { "aria-label": "Pages" }, links),
		place,
		h(
			"button",
			{
				class: "quiet",
				title: "Help (?)",
				"aria-label": "Help",
				onclick: actions.help,
			},
			"?",
		),
		theme,
		h("button", { class: "quiet", onclick: actions.signOut }, "Sign out"),
	);
	put(document.body, header, offlineBar(), main, announcer());
}

function live() {
	const dot = part("live");
	events.addEventListener("offline", () => dot("offline"));
	events.addEventListener("online", () => dot("live"));
	return dot.element;
}

/** @param {string} first */
function part(first) {
	const element = h("span", { class: "live" });
	/** @param {string} word */
	const show = (word) => {
		element.dataset.state = word;
		put(element, h("i", { "aria-hidden": "true" }), word);
	};
	show(first);
	return Object.assign(show, { element });
}

const announcer = () => h("div", { id: "announcer", role: "status", "aria-live": "polite", hidden: true });

/** A bar that says that the server does not answer, and counts down to the next attempt. */
export function offlineBar() {
	const words = h("span");
	const bar = h("div", { class: "offline", role: "alert", hidden: true }, words, h("button", { onclick: knock }, "Try now"));
	events.addEventListener("offline", (event) => {
		const seconds = /** @type {CustomEvent<number>} */ (event).detail;
		words.textContent = `The server does not answer. Next attempt in ${seconds} s.`;
		bar.hidden = false;
	});
	events.addEventListener("online", () => (bar.hidden = true));
	return bar;
}

/** Mark the page that is open. @param {string} path the first part of the path below the console */
export function mark(path) {
	const name = path === "functions" || path === "new" ? "./" : path || "./";
	for (const link of document.querySelectorAll("header.top nav a"))
		if (link.getAttribute("href") === name) {
			link.setAttribute("aria-current", "page");
			link.scrollIntoView({ block: "nearest", inline: "center" });
		} else link.removeAttribute("aria-current");
}
